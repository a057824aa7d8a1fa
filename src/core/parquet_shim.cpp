// parquet_shim.cpp: Arrow C++ behind parquet_shim.h. Columns are read page by page through parquet's own column readers, which
// take every encoding (the readers into Arrow arrays do not), with a buffer of fixed size between them and the file.
#include "core/parquet_shim.h"

#include "core/parquet_nested.hpp"
#include "core/parquet_pool.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <arrow/io/interfaces.h>
#include <arrow/memory_pool.h>
#include <arrow/util/config.h>
#include <parquet/column_page.h>
#include <parquet/column_reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#if ARROW_VERSION_MAJOR >= 19
#include <parquet/size_statistics.h>
#endif

namespace
{

constexpr int64_t BUFFER_BYTES = 1 << 20;
constexpr int64_t ROWS_MAX = int64_t{1} << 40;

class HostFile : public arrow::io::RandomAccessFile
{
  public:
    HostFile(const mill_parquet_host &host, arrow::MemoryPool *pool, Faults &faults) : host_(host), pool_(pool), faults_(faults)
    {
        set_mode(arrow::io::FileMode::READ);
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
    arrow::Status Seek(int64_t position) override
    {
        position_ = position;
        return arrow::Status::OK();
    }
    arrow::Result<int64_t> GetSize() override
    {
        return static_cast<int64_t>(host_.file_bytes);
    }
    arrow::Result<int64_t> ReadAt(int64_t position, int64_t bytes, void *out) override
    {
        if (position < 0 || bytes < 0)
            return arrow::Status::Invalid("a negative place");
        int64_t size = static_cast<int64_t>(host_.file_bytes);
        bytes = position >= size ? 0 : std::min(bytes, size - position);
        int64_t got =
            bytes == 0 ? 0 : host_.pread(host_.self, out, static_cast<uint64_t>(bytes), static_cast<uint64_t>(position));
        if (got < 0) {
            faults_.io = true;
            return arrow::Status::IOError("reading failed");
        }
        return got;
    }
    arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t bytes) override
    {
        // A damaged footer may ask for more than there is; no memory is spent on that.
        int64_t size = static_cast<int64_t>(host_.file_bytes);
        if (position < 0 || bytes < 0)
            return arrow::Status::Invalid("a negative place");
        bytes = position >= size ? 0 : std::min(bytes, size - position);
        ARROW_ASSIGN_OR_RAISE(std::unique_ptr<arrow::ResizableBuffer> buffer, arrow::AllocateResizableBuffer(bytes, pool_));
        ARROW_ASSIGN_OR_RAISE(int64_t got, ReadAt(position, bytes, buffer->mutable_data()));
        ARROW_RETURN_NOT_OK(buffer->Resize(got, false));
        return std::shared_ptr<arrow::Buffer>(std::move(buffer));
    }
    arrow::Result<int64_t> Read(int64_t bytes, void *out) override
    {
        ARROW_ASSIGN_OR_RAISE(int64_t got, ReadAt(position_, bytes, out));
        position_ += got;
        return got;
    }
    arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t bytes) override
    {
        ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> buffer, ReadAt(position_, bytes));
        position_ += buffer->size();
        return buffer;
    }

  private:
    const mill_parquet_host &host_;
    arrow::MemoryPool *pool_;
    Faults &faults_;
    int64_t position_ = 0;
    bool closed_ = false;
};

} // namespace

struct mill_parquet_file {
    mill_parquet_host host;
    Faults faults;
    std::unique_ptr<HostPool> pool;
    std::unique_ptr<parquet::ParquetFileReader> reader;
    std::shared_ptr<parquet::FileMetaData> metadata;
    std::vector<Leaf> leaves;
    std::vector<Node> nodes; // the columns of a row
};

namespace
{

mill_parquet_kind kind_of(const parquet::ColumnDescriptor *column)
{
    const auto &logical = column->logical_type();
    if (logical != nullptr && logical->is_null())
        return MILL_PARQUET_NOTHING;
    bool plain = logical == nullptr || logical->is_none() || logical->is_int() || logical->is_string() || logical->is_enum() ||
                 logical->is_JSON();
    switch (column->physical_type()) {
    case parquet::Type::BYTE_ARRAY: return plain ? MILL_PARQUET_TEXT : MILL_PARQUET_OTHER;
    case parquet::Type::INT32:
    case parquet::Type::INT64:
    case parquet::Type::FLOAT:
    case parquet::Type::DOUBLE: return plain ? MILL_PARQUET_NUMBER : MILL_PARQUET_OTHER;
    case parquet::Type::BOOLEAN: return plain ? MILL_PARQUET_BOOLEAN : MILL_PARQUET_OTHER;
    default: return MILL_PARQUET_OTHER;
    }
}

// Counts in the footer that contradict each other: nothing in such a file can be numbered.
void check_counts(const parquet::FileMetaData &metadata)
{
    int64_t rows = 0;
    for (int i = 0; i < metadata.num_row_groups(); i++) {
        auto group = metadata.RowGroup(i);
        if (group->num_rows() < 0 || group->num_rows() > ROWS_MAX - rows)
            throw parquet::ParquetException("an impossible number of rows in row group ", i);
        rows += group->num_rows();
        if (group->num_columns() != metadata.num_columns())
            throw parquet::ParquetException("row group ", i, " has another number of columns than the schema");
    }
    if (rows != metadata.num_rows())
        throw parquet::ParquetException("the footer counts ", metadata.num_rows(), " rows, its row groups ", rows);
}

parquet::ReaderProperties properties_of(mill_parquet_file &file)
{
    parquet::ReaderProperties properties(file.pool.get());
    properties.enable_buffered_stream();
    properties.set_buffer_size(BUFFER_BYTES);
    properties.set_page_checksum_verification(true);
    return properties;
}

void list_leaves(mill_parquet_file &file, const parquet::SchemaDescriptor &schema)
{
    for (int i = 0; i < schema.num_columns(); i++) {
        const parquet::ColumnDescriptor *column = schema.Column(i);
        const auto &logical = column->logical_type();
        bool is_unsigned = logical != nullptr && logical->is_int() &&
                           !static_cast<const parquet::IntLogicalType &>(*logical).is_signed();
        file.leaves.push_back({column->path()->ToDotString(), "", schema.GetColumnRoot(i)->name(),
                               kind_of(column), column->max_repetition_level() > 0, is_unsigned});
    }
    file.nodes = Schema(schema, file.leaves).columns();
    for (Leaf &leaf : file.leaves) {
        if (leaf.name.empty())
            leaf.kind = MILL_PARQUET_OTHER;
    }
}

mill_parquet_result open_file(const mill_parquet_host *host, mill_parquet_file **out, char *why)
{
    *out = nullptr;
    mill_parquet_file *file = new (std::nothrow) mill_parquet_file{};
    if (file == nullptr)
        return MILL_PARQUET_NO_MEMORY;
    mill_parquet_result result = guard(file->faults, why, [&] {
        file->host = *host;
        file->pool = std::make_unique<HostPool>(file->host.allocate, file->host.release, file->host.allocation_max, file->faults);
        auto input = std::make_shared<HostFile>(file->host, file->pool.get(), file->faults);
        file->reader = parquet::ParquetFileReader::Open(input, properties_of(*file));
        file->metadata = file->reader->metadata();
        check_counts(*file->metadata);
        list_leaves(*file, *file->metadata->schema());
        return MILL_PARQUET_OK;
    });
    if (result != MILL_PARQUET_OK) {
        delete file;
        return result;
    }
    *out = file;
    return result;
}

void close_file(mill_parquet_file *file)
{
    if (file == nullptr)
        return;
    file->reader.reset(); // its pages go back to the pool, which goes last
    delete file;
}

uint32_t group_count(const mill_parquet_file *file)
{
    return static_cast<uint32_t>(file->metadata->num_row_groups());
}

uint64_t group_rows(const mill_parquet_file *file, uint32_t group)
{
    try {
        return static_cast<uint64_t>(file->metadata->RowGroup(static_cast<int>(group))->num_rows());
    } catch (...) {
        return 0;
    }
}

uint32_t leaf_count(const mill_parquet_file *file)
{
    return static_cast<uint32_t>(file->leaves.size());
}

mill_parquet_leaf leaf_of(const mill_parquet_file *file, uint32_t leaf)
{
    const Leaf &l = file->leaves[leaf];
    return {l.path.c_str(), l.name.c_str(), l.column.c_str(), l.kind, l.is_list};
}

uint64_t chunk_bytes(const mill_parquet_file *file, uint32_t group, uint32_t leaf)
{
    try {
        int64_t bytes =
            file->metadata->RowGroup(static_cast<int>(group))->ColumnChunk(static_cast<int>(leaf))->total_uncompressed_size();
        return bytes < 0 ? 0 : static_cast<uint64_t>(bytes);
    } catch (...) {
        return 0;
    }
}

uint64_t decoded_exact(const mill_parquet_file *file, uint32_t group, uint32_t leaf)
{
#if ARROW_VERSION_MAJOR >= 19
    try {
        auto chunk = file->metadata->RowGroup(static_cast<int>(group))->ColumnChunk(static_cast<int>(leaf));
        for (parquet::Encoding::type encoding : chunk->encodings()) {
            if (encoding == parquet::Encoding::DELTA_BYTE_ARRAY)
                return UINT64_MAX; // Arrow's writer (seen in 26.0.1) counts what the encoding leaves of such values
        }
        auto sizes = chunk->size_statistics();
        if (sizes != nullptr && sizes->unencoded_byte_array_data_bytes.has_value() &&
            *sizes->unencoded_byte_array_data_bytes >= 0)
            return static_cast<uint64_t>(*sizes->unencoded_byte_array_data_bytes);
    } catch (...) {
    }
#else
    (void)file, (void)group, (void)leaf;
#endif
    return UINT64_MAX;
}

// The longest value of a page of PLAIN byte arrays, UINT64_MAX if the page cannot be read.
uint64_t longest_value(const parquet::DictionaryPage &page)
{
    uint64_t longest = 0, at = 0, size = static_cast<uint64_t>(page.size());
    for (int32_t i = 0; i < page.num_values(); i++) {
        uint32_t length;
        if (size - at < sizeof length)
            return UINT64_MAX;
        std::memcpy(&length, page.data() + at, sizeof length);
        at += sizeof length;
        if (size - at < length)
            return UINT64_MAX;
        at += length;
        longest = std::max<uint64_t>(longest, length);
    }
    return longest;
}

// Without counts in the footer: plain pages hold what they hold; an index into the dictionary stands for its longest value at
// most. Writers leave the dictionary once and for all when it is full, so only pages up to there are looked at.
mill_parquet_result decoded_max(mill_parquet_file *file, uint32_t group, uint32_t leaf, uint64_t *bytes, char *why)
{
    *bytes = decoded_exact(file, group, leaf);
    if (*bytes != UINT64_MAX)
        return MILL_PARQUET_OK;
    return guard(file->faults, why, [&] {
        auto chunk = file->metadata->RowGroup(static_cast<int>(group))->ColumnChunk(static_cast<int>(leaf));
        bool dictionary = false;
        for (parquet::Encoding::type encoding : chunk->encodings()) {
            if (encoding == parquet::Encoding::DELTA_BYTE_ARRAY)
                return MILL_PARQUET_OK; // a value repeats the start of the one before: no bound
            dictionary =
                dictionary || encoding == parquet::Encoding::RLE_DICTIONARY || encoding == parquet::Encoding::PLAIN_DICTIONARY;
        }
        uint64_t most = chunk_bytes(file, group, leaf), longest = 0;
        if (dictionary) {
            auto pages = file->reader->RowGroup(static_cast<int>(group))->GetColumnPageReader(static_cast<int>(leaf));
            for (std::shared_ptr<parquet::Page> page = pages->NextPage(); page != nullptr; page = pages->NextPage()) {
                if (page->type() == parquet::PageType::DICTIONARY_PAGE) {
                    longest = longest_value(static_cast<const parquet::DictionaryPage &>(*page));
                    continue;
                }
                const auto *data = dynamic_cast<const parquet::DataPage *>(page.get());
                if (data == nullptr)
                    continue;
                if (data->encoding() != parquet::Encoding::RLE_DICTIONARY &&
                    data->encoding() != parquet::Encoding::PLAIN_DICTIONARY)
                    break;
                uint64_t values = static_cast<uint64_t>(std::max(data->num_values(), 0)), product;
                if (__builtin_mul_overflow(values, longest, &product) || __builtin_add_overflow(most, product, &most))
                    return MILL_PARQUET_OK;
            }
        }
        *bytes = most;
        return MILL_PARQUET_OK;
    });
}

} // namespace

struct mill_parquet_cursor {
    mill_parquet_file *file;
    uint32_t group;
    uint64_t rows_left;
    std::vector<uint32_t> leaves;
    std::vector<Column> columns;
    std::vector<Node> nodes; // what of the file's nodes is in these columns
};

namespace
{

mill_parquet_result open_cursor(mill_parquet_file *file, uint32_t group, const uint32_t *leaves, uint32_t count,
                                mill_parquet_cursor **out, char *why)
{
    *out = nullptr;
    mill_parquet_cursor *cursor = new (std::nothrow) mill_parquet_cursor{file, group, 0, {}, {}, {}};
    if (cursor == nullptr)
        return MILL_PARQUET_NO_MEMORY;
    mill_parquet_result result = guard(file->faults, why, [&] {
        auto reader = file->reader->RowGroup(static_cast<int>(group));
        int64_t rows = reader->metadata()->num_rows();
        cursor->rows_left = static_cast<uint64_t>(rows);
        cursor->columns.reserve(count);
        cursor->leaves.assign(leaves, leaves + count);
        for (uint32_t i = 0; i < count; i++) {
            const Leaf &leaf = file->leaves[leaves[i]];
            int64_t values = reader->metadata()->ColumnChunk(static_cast<int>(leaves[i]))->num_values();
            if (leaf.is_list ? values < rows : values != rows)
                throw parquet::ParquetException("column ", leaf.path, " has ", values, " values for ", rows, " rows");
            cursor->columns.emplace_back(reader->Column(static_cast<int>(leaves[i])), leaf, values);
        }
        return MILL_PARQUET_OK;
    });
    if (result != MILL_PARQUET_OK) {
        delete cursor;
        return result;
    }
    *out = cursor;
    return result;
}

void check_end(const mill_parquet_cursor &cursor)
{
    for (size_t i = 0; i < cursor.columns.size(); i++)
        cursor.columns[i].check(decoded_exact(cursor.file, cursor.group, cursor.leaves[i]));
}

mill_parquet_result next_row(mill_parquet_cursor *cursor, mill_parquet_value *values, char *why)
{
    return guard(cursor->file->faults, why, [&] {
        if (cursor->rows_left == 0) {
            check_end(*cursor);
            return MILL_PARQUET_END;
        }
        for (Column &column : cursor->columns) {
            if (!column.next(values++))
                throw parquet::ParquetException("a column ends ", cursor->rows_left, " rows before its row group");
        }
        cursor->rows_left--;
        return MILL_PARQUET_OK;
    });
}

mill_parquet_result visit_row(mill_parquet_cursor *cursor, const mill_parquet_visitor *visitor, char *why)
{
    return guard(cursor->file->faults, why, [&] {
        if (cursor->rows_left == 0) {
            check_end(*cursor);
            return MILL_PARQUET_END;
        }
        if (cursor->nodes.empty())
            cursor->nodes = chosen(cursor->file->nodes, cursor->leaves);
        Assembly(cursor->columns, *visitor).row(cursor->nodes);
        cursor->rows_left--;
        return MILL_PARQUET_OK;
    });
}

void close_cursor(mill_parquet_cursor *cursor)
{
    delete cursor;
}

} // namespace

const mill_parquet_api *mill_parquet_shim(void)
{
    static const mill_parquet_api api = {
        .abi = MILL_PARQUET_ABI,
        .version = ARROW_VERSION_STRING,
        .open = open_file,
        .close = close_file,
        .group_count = group_count,
        .group_rows = group_rows,
        .leaf_count = leaf_count,
        .leaf = leaf_of,
        .decoded_max = decoded_max,
        .decoded_exact = decoded_exact,
        .chunk_bytes = chunk_bytes,
        .cursor = open_cursor,
        .row = next_row,
        .visit = visit_row,
        .close_cursor = close_cursor,
        .write = mill_parquet_write(),
    };
    return &api;
}
