// parquet_column.hpp: the values of one leaf column of one row group, in order, with their levels; for the
// parts of libmill_parquet.so.
#ifndef MILL_CORE_PARQUET_COLUMN_HPP
#define MILL_CORE_PARQUET_COLUMN_HPP

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <parquet/column_reader.h>
#include <parquet/exception.h>

#include "core/parquet_shim.h"

namespace
{

constexpr uint32_t BATCH = 128;               // levels at a time
constexpr uint64_t LIST_BYTES_MAX = 16 << 20; // of one row
constexpr size_t NUMBERS_MAX = size_t{1} << 25;

struct Leaf {
    std::string path;   // as Parquet has it
    std::string name;   // without the groups that lists are made of
    std::string column; // the first part of both
    mill_parquet_kind kind;
    bool is_list, is_unsigned;
};

// A batch of levels at a time. Byte arrays point into the page, which stays until the next batch.
class Column
{
  public:
    Column(std::shared_ptr<parquet::ColumnReader> reader, const Leaf &leaf, int64_t values)
        : reader_(std::move(reader)), leaf_(leaf), left_(values),
          def_max_(reader_->descr()->max_definition_level())
    {
    }
    // One row of a column that is read by itself. False where the column has no more.
    bool next(mill_parquet_value *out)
    {
        *out = {};
        if (!more())
            return false;
        if (!leaf_.is_list) {
            take(out);
            return true;
        }
        if (repeats_[at_] != 0)
            throw parquet::ParquetException("column ", leaf_.path, ": a row begins inside a list");
        joined_.clear();
        numbers_.clear();
        bool any = false;
        do {
            mill_parquet_value item = {};
            take(&item);
            if (item.type == mill_parquet_value::MILL_PARQUET_BYTES) {
                if (!joined_.empty())
                    joined_.push_back(',');
                if (joined_.size() + item.bytes > LIST_BYTES_MAX)
                    throw parquet::ParquetException("column ", leaf_.path, ": a list of more than ",
                                                    LIST_BYTES_MAX, " bytes");
                joined_.append(item.text, item.bytes);
                any = true;
            } else if (item.type == mill_parquet_value::MILL_PARQUET_INTEGER) {
                if (numbers_.size() == NUMBERS_MAX)
                    throw parquet::ParquetException("column ", leaf_.path, ": a list of more than ",
                                                    NUMBERS_MAX, " numbers");
                numbers_.push_back(item.integer);
            }
        } while (more() && repeats_[at_] != 0);
        if (any) {
            out->type = mill_parquet_value::MILL_PARQUET_BYTES;
            out->text = joined_.data();
            out->bytes = joined_.size();
        } else if (!numbers_.empty()) {
            out->type = mill_parquet_value::MILL_PARQUET_NUMBERS;
            out->numbers = numbers_.data();
            out->count = numbers_.size();
        }
        return true;
    }
    // True while there is a place in the column that was not taken; its levels are those below.
    bool more()
    {
        if (at_ < levels_)
            return true;
        at_ = value_ = levels_ = got_ = 0;
        if (left_ == 0 || !reader_->HasNext())
            return false;
        switch (reader_->type()) {
        case parquet::Type::BYTE_ARRAY: read<parquet::ByteArrayType>(texts_); break;
        case parquet::Type::INT32: read<parquet::Int32Type>(small_); break;
        case parquet::Type::INT64: read<parquet::Int64Type>(large_); break;
        case parquet::Type::FLOAT: read<parquet::FloatType>(floats_); break;
        case parquet::Type::DOUBLE: read<parquet::DoubleType>(doubles_); break;
        case parquet::Type::BOOLEAN: read<parquet::BooleanType>(booleans_); break;
        default: throw parquet::ParquetException("column ", leaf_.path, ": an unexpected type");
        }
        left_ -= levels_;
        return levels_ > 0;
    }
    int16_t def() const
    {
        return def_max_ == 0 ? int16_t{0} : defined_[static_cast<size_t>(at_)];
    }
    int16_t rep() const
    {
        return leaf_.is_list ? repeats_[static_cast<size_t>(at_)] : int16_t{0};
    }
    const std::string &path() const
    {
        return leaf_.path;
    }
    // The value of this place, null unless it is there.
    void take(mill_parquet_value *out)
    {
        bool present = def() == def_max_;
        at_++;
        if (!present)
            return;
        if (value_ >= got_)
            throw parquet::ParquetException("column ", leaf_.path, ": fewer values than its levels tell");
        size_t i = static_cast<size_t>(value_++);
        switch (reader_->type()) {
        case parquet::Type::BYTE_ARRAY:
            out->type = mill_parquet_value::MILL_PARQUET_BYTES;
            out->text = reinterpret_cast<const char *>(texts_[i].ptr);
            out->bytes = texts_[i].len;
            bytes_ += out->bytes;
            break;
        case parquet::Type::INT32:
            out->type = mill_parquet_value::MILL_PARQUET_INTEGER;
            out->integer =
                leaf_.is_unsigned ? static_cast<int64_t>(static_cast<uint32_t>(small_[i])) : small_[i];
            break;
        case parquet::Type::INT64:
            out->type = leaf_.is_unsigned ? mill_parquet_value::MILL_PARQUET_UNSIGNED
                                          : mill_parquet_value::MILL_PARQUET_INTEGER;
            out->integer = large_[i];
            break;
        case parquet::Type::FLOAT:
            out->type = mill_parquet_value::MILL_PARQUET_REAL;
            out->real = static_cast<double>(floats_[i]);
            break;
        case parquet::Type::BOOLEAN:
            out->type = mill_parquet_value::MILL_PARQUET_TRUTH;
            out->integer = booleans_[i];
            break;
        default: out->type = mill_parquet_value::MILL_PARQUET_REAL; out->real = doubles_[i];
        }
    }
    // Throws unless the footer's counts are those that were read.
    void check(uint64_t exact) const
    {
        if (left_ != 0 || at_ != levels_)
            throw parquet::ParquetException("column ", leaf_.path, " has more rows than its row group");
        if (exact != UINT64_MAX && exact != bytes_)
            throw parquet::ParquetException("column ", leaf_.path, " has ", bytes_,
                                            " bytes of values, the footer counts ", exact);
    }

  private:
    template <class Type, class Values> void read(Values &values)
    {
        int64_t got = 0;
        levels_ = static_cast<parquet::TypedColumnReader<Type> &>(*reader_).ReadBatch(
            std::min<int64_t>(BATCH, left_), defined_.data(), repeats_.data(), values.data(), &got);
        got_ = got;
    }

    std::shared_ptr<parquet::ColumnReader> reader_;
    const Leaf &leaf_;
    int64_t left_; // levels that the footer promises and no batch has brought yet
    int16_t def_max_;
    int64_t levels_ = 0, at_ = 0, got_ = 0,
            value_ = 0; // of the batch: levels and values, and how many of them are taken
    std::array<int16_t, BATCH> defined_{}, repeats_{};
    std::array<parquet::ByteArray, BATCH> texts_{};
    std::array<int32_t, BATCH> small_{};
    std::array<int64_t, BATCH> large_{};
    std::array<float, BATCH> floats_{};
    std::array<double, BATCH> doubles_{};
    std::array<bool, BATCH> booleans_{};
    std::string joined_;
    std::vector<int64_t> numbers_;
    uint64_t bytes_ = 0; // of the byte arrays taken
};

} // namespace

#endif
