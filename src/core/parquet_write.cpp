// parquet_write.cpp: files of token rows by Arrow C++'s column writers. A row group is held until it is full, then written column by
// column. Bytes depend on the rows, the options and the version of Arrow alone.
#include <cstdio>
#include <memory>
#include <new>
#include <vector>

#include <arrow/io/interfaces.h>
#include <parquet/column_writer.h>
#include <parquet/exception.h>
#include <parquet/file_writer.h>

#include "core/parquet_pool.hpp"

namespace
{

class HostSink : public arrow::io::OutputStream
{
  public:
    HostSink(const mill_parquet_sink &sink, Faults &faults) : sink_(sink), faults_(faults)
    {
        set_mode(arrow::io::FileMode::WRITE);
    }
    arrow::Status Close() override
    {
        closed_ = true;
        return arrow::Status::OK();
    }
    bool closed() const override
    {
        return closed_;
    }
    arrow::Result<int64_t> Tell() const override
    {
        return position_;
    }
    arrow::Status Write(const void *data, int64_t bytes) override
    {
        if (sink_.write(sink_.self, data, static_cast<uint64_t>(bytes)) != 0) {
            faults_.io = true;
            return arrow::Status::IOError("the host could not write");
        }
        position_ += bytes;
        return arrow::Status::OK();
    }
    using arrow::io::Writable::Write;

  private:
    const mill_parquet_sink &sink_;
    Faults &faults_;
    int64_t position_ = 0;
    bool closed_ = false;
};

// The lists of one column in the row group that is open.
struct Lists {
    std::vector<int32_t> values;
    std::vector<uint32_t> counts;

    template <class Value> void add(const Value *list, uint32_t count)
    {
        for (uint32_t i = 0; i < count; i++)
            values.push_back(static_cast<int32_t>(list[i]));
        counts.push_back(count);
    }
    void clear()
    {
        values.clear();
        counts.clear();
    }
};

} // namespace

struct mill_parquet_writer {
    mill_parquet_sink sink;
    mill_parquet_rows rows;
    Faults faults;
    std::unique_ptr<HostPool> pool;
    std::unique_ptr<parquet::ParquetFileWriter> file;
    Lists ids, bounds, positions, mask;
    std::vector<int32_t> lengths;
    std::vector<int16_t> present, repeated; // levels of the longest list: 1 1 1 .., and 0 1 1 ..
};

namespace
{

using parquet::LogicalType;
using parquet::Repetition;
using parquet::schema::GroupNode;
using parquet::schema::NodePtr;
using parquet::schema::PrimitiveNode;

NodePtr list_of(const char *name, int bits, bool is_signed)
{
    NodePtr element = PrimitiveNode::Make("element", Repetition::REQUIRED, LogicalType::Int(bits, is_signed), parquet::Type::INT32);
    NodePtr list = GroupNode::Make("list", Repetition::REPEATED, {element});
    return GroupNode::Make(name, Repetition::REQUIRED, {list}, LogicalType::List());
}

std::shared_ptr<GroupNode> schema_of(const mill_parquet_rows &rows)
{
    parquet::schema::NodeVector fields = {
        list_of("input_ids", static_cast<int>(rows.id_bits), false),
        PrimitiveNode::Make("length", Repetition::REQUIRED, LogicalType::Int(32, true), parquet::Type::INT32)};
    if (rows.boundaries)
        fields.push_back(list_of("cu_seqlens", 32, true));
    if (rows.positions)
        fields.push_back(list_of("position_ids", 32, true));
    if (rows.loss_mask)
        fields.push_back(list_of("loss_mask", 8, false));
    return std::static_pointer_cast<GroupNode>(GroupNode::Make("schema", Repetition::REQUIRED, fields));
}

mill_parquet_result open_writer(const mill_parquet_sink *sink, const mill_parquet_rows *rows, mill_parquet_writer **out, char *why)
{
    *out = nullptr;
    mill_parquet_writer *writer = new (std::nothrow) mill_parquet_writer{};
    if (writer == nullptr)
        return MILL_PARQUET_NO_MEMORY;
    mill_parquet_result result = guard(writer->faults, why, [&] {
        writer->sink = *sink;
        writer->rows = *rows;
        writer->pool = std::make_unique<HostPool>(sink->allocate, sink->release, UINT64_MAX / 2, writer->faults);
        parquet::WriterProperties::Builder properties;
        properties.memory_pool(writer->pool.get());
        properties.created_by(rows->created_by);
        properties.compression(parquet::Compression::ZSTD);
        properties.compression_level(rows->zstd_level);
        properties.disable_statistics();
        writer->file = parquet::ParquetFileWriter::Open(std::make_shared<HostSink>(writer->sink, writer->faults), schema_of(*rows),
                                                        properties.build());
        return MILL_PARQUET_OK;
    });
    if (result == MILL_PARQUET_OK)
        *out = writer;
    else
        delete writer;
    return result;
}

void write_lists(mill_parquet_writer &w, parquet::ColumnWriter *column, const Lists &lists)
{
    auto *out = static_cast<parquet::Int32Writer *>(column);
    const int32_t *values = lists.values.data();
    for (uint32_t count : lists.counts) {
        if (w.present.size() < count) {
            w.present.assign(count, 1);
            w.repeated.assign(count, 1);
            w.repeated[0] = 0;
        }
        if (count == 0) // an empty list is a level without a value
            throw parquet::ParquetException("an empty row");
        out->WriteBatch(count, w.present.data(), w.repeated.data(), values);
        values += count;
    }
    out->Close();
}

void write_group(mill_parquet_writer &w)
{
    parquet::RowGroupWriter *group = w.file->AppendRowGroup();
    write_lists(w, group->NextColumn(), w.ids);
    auto *lengths = static_cast<parquet::Int32Writer *>(group->NextColumn());
    lengths->WriteBatch(static_cast<int64_t>(w.lengths.size()), nullptr, nullptr, w.lengths.data());
    lengths->Close();
    if (w.rows.boundaries)
        write_lists(w, group->NextColumn(), w.bounds);
    if (w.rows.positions)
        write_lists(w, group->NextColumn(), w.positions);
    if (w.rows.loss_mask)
        write_lists(w, group->NextColumn(), w.mask);
    group->Close();
    w.ids.clear();
    w.bounds.clear();
    w.positions.clear();
    w.mask.clear();
    w.lengths.clear();
}

mill_parquet_result write_row(mill_parquet_writer *w, const mill_parquet_row *row, char *why)
{
    return guard(w->faults, why, [&] {
        w->ids.add(row->ids, row->count);
        w->lengths.push_back(static_cast<int32_t>(row->count));
        if (w->rows.boundaries)
            w->bounds.add(row->bounds, row->bound_count);
        if (w->rows.positions)
            w->positions.add(row->positions, row->count);
        if (w->rows.loss_mask)
            w->mask.add(row->mask, row->count);
        if (w->lengths.size() == w->rows.group_rows)
            write_group(*w);
        return MILL_PARQUET_OK;
    });
}

mill_parquet_result finish_writer(mill_parquet_writer *w, char *why)
{
    return guard(w->faults, why, [&] {
        if (!w->lengths.empty())
            write_group(*w);
        w->file->Close();
        return MILL_PARQUET_OK;
    });
}

// An unfinished file would write its footer when it goes: what it writes now leads nowhere.
void close_writer(mill_parquet_writer *w)
{
    if (w == nullptr)
        return;
    w->sink.write = [](void *, const void *, uint64_t) { return 0; };
    try {
        w->file.reset(); // its pages go back to the pool, which goes last
    } catch (...) {
        // nobody waits for this file
    }
    delete w;
}

} // namespace

const mill_parquet_write_api *mill_parquet_write()
{
    static const mill_parquet_write_api api = {
        .open = open_writer,
        .row = write_row,
        .finish = finish_writer,
        .close = close_writer,
    };
    return &api;
}
