// parquet_nested.hpp: columns of any nesting put together again, a row at a time; for the parts of
// libmill_parquet.so.
//
// Parquet stores the leaves of a nested column each by itself, every place with two levels: how many of the
// optional and repeated groups around it are there (definition), and at which of its lists a new item begins
// (repetition). A Node is what the data set means, without the groups that lists are spelled with, and knows
// the levels that decide about it. The leaves below one node stand at the same place of the row at any time;
// where their levels contradict each other, the file is damaged.
#ifndef MILL_CORE_PARQUET_NESTED_HPP
#define MILL_CORE_PARQUET_NESTED_HPP

#include <cstdint>
#include <string>
#include <vector>

#include <parquet/schema.h>

#include "core/parquet_column.hpp"

namespace
{

constexpr int NESTING_MAX = 64;
constexpr uint64_t PLACES_MAX = uint64_t{1} << 26; // of one row, over its columns

struct Node {
    enum Kind { VALUE, STRUCT, LIST } kind = VALUE;
    std::string name;
    int16_t def = 0;            // below it the node is null
    int16_t item_def = 0;       // of a list: below it the list is empty
    int16_t item_rep = 0;       // of a list: the repetition level of its second item and those behind it
    size_t first = 0, end = 0;  // its leaves; in the nodes of a cursor: its columns
    std::vector<Node> children; // of a list: what its items are
};

// The schema as nodes. What has no place in JSON (maps, and what is nested too deep) is left out; its leaves
// get no name.
class Schema
{
  public:
    Schema(const parquet::SchemaDescriptor &schema, std::vector<Leaf> &leaves)
        : schema_(schema), leaves_(leaves)
    {
    }
    std::vector<Node> columns()
    {
        std::vector<Node> out;
        const parquet::schema::GroupNode &root = *schema_.group_node();
        for (int i = 0; i < root.field_count(); i++)
            add(out, *root.field(i), Place{0, 0, "", 0});
        return out;
    }

  private:
    using Source = parquet::schema::Node;
    using Group = parquet::schema::GroupNode;
    struct Place { // where in the schema a node stands
        int16_t def, rep;
        std::string path; // of the group around it
        int depth;
    };

    static bool is_marked(const Source &source, bool list)
    {
        const auto &logical = source.logical_type();
        return logical != nullptr && (list ? logical->is_list() : logical->is_map());
    }
    // Whether the repeated group of a list is itself what the items are, as old writers had it, and no
    // wrapping of it.
    static bool is_item(const Group &list, const Group &repeated)
    {
        return repeated.field_count() != 1 || repeated.name() == "array" ||
               repeated.name() == list.name() + "_tuple" || repeated.field(0)->is_repeated();
    }
    void add(std::vector<Node> &out, const Source &source, const Place &around)
    {
        Node node;
        Place here = around;
        here.path = around.path.empty() ? source.name() : around.path + "." + source.name();
        here.depth++;
        if (here.depth > NESTING_MAX)
            return;
        bool good;
        if (source.is_repeated()) { // a list that nobody calls one
            good = list_of(node, here,
                           [&](Node &item, const Place &inner) { return fill(item, source, inner); });
        } else {
            here.def = static_cast<int16_t>(here.def + source.is_optional());
            good = fill(node, source, here);
        }
        if (!good)
            return;
        node.name = source.name();
        out.push_back(std::move(node));
    }
    template <class Make> bool list_of(Node &node, const Place &here, Make make)
    {
        Place inner = here;
        Node item;
        node.kind = Node::LIST;
        node.def = here.def;
        node.item_def = inner.def = static_cast<int16_t>(here.def + 1);
        node.item_rep = inner.rep = static_cast<int16_t>(here.rep + 1);
        if (!make(item, inner))
            return false;
        node.first = item.first;
        node.end = item.end;
        node.children.push_back(std::move(item));
        return true;
    }
    // The node of what stands at this place, whose own repetition is counted in it already. False: there is
    // nothing to read.
    bool fill(Node &node, const Source &source, const Place &here)
    {
        node.def = here.def;
        if (source.is_primitive())
            return fill_leaf(node, source, here);
        const Group &group = static_cast<const Group &>(source);
        if (is_marked(source, false))
            return false;
        if (is_marked(source, true) && group.field_count() == 1 && group.field(0)->is_repeated())
            return list_of(node, here,
                           [&](Node &item, const Place &inner) { return fill_item(item, group, inner); });
        node.kind = Node::STRUCT;
        for (int i = 0; i < group.field_count(); i++)
            add(node.children, *group.field(i), here);
        if (node.children.empty())
            return false;
        node.first = node.children.front().first;
        node.end = node.children.back().end;
        return true;
    }
    bool fill_item(Node &item, const Group &list, const Place &inner)
    {
        const Source &repeated = *list.field(0);
        if (repeated.is_primitive() || is_item(list, static_cast<const Group &>(repeated)))
            return fill(item, repeated, inner);
        const Source &element = *static_cast<const Group &>(repeated).field(0);
        Place here = inner;
        here.depth++;
        here.def = static_cast<int16_t>(here.def + element.is_optional());
        return here.depth <= NESTING_MAX && fill(item, element, here);
    }
    bool fill_leaf(Node &node, const Source &source, const Place &here)
    {
        int number = schema_.ColumnIndex(source);
        if (number < 0)
            return false;
        Leaf &leaf = leaves_[static_cast<size_t>(number)];
        leaf.name = here.path;
        node.first = static_cast<size_t>(number);
        node.end = node.first + 1;
        return leaf.kind != MILL_PARQUET_OTHER;
    }

    const parquet::SchemaDescriptor &schema_;
    std::vector<Leaf> &leaves_;
};

// The nodes that have one of these leaves, which ascend; their places become those of columns.
std::vector<Node> chosen(const std::vector<Node> &nodes, const std::vector<uint32_t> &leaves)
{
    std::vector<Node> out;
    for (const Node &node : nodes) {
        auto first = std::lower_bound(leaves.begin(), leaves.end(), node.first);
        auto end = std::lower_bound(first, leaves.end(), node.end);
        if (first == end)
            continue;
        Node copy = node;
        copy.first = static_cast<size_t>(first - leaves.begin());
        copy.end = static_cast<size_t>(end - leaves.begin());
        copy.children = chosen(node.children, leaves);
        if (node.kind != Node::VALUE && copy.children.empty())
            continue;
        out.push_back(std::move(copy));
    }
    return out;
}

// Takes one row from all columns and tells a visitor of it.
class Assembly
{
  public:
    Assembly(std::vector<Column> &columns, const mill_parquet_visitor &visitor)
        : columns_(columns), visitor_(visitor)
    {
    }
    void row(const std::vector<Node> &nodes)
    {
        for (Column &column : columns_) {
            if (!column.more())
                throw parquet::ParquetException("column ", column.path(), " ends before its row group");
            if (column.rep() != 0)
                throw parquet::ParquetException("column ", column.path(), ": a row begins inside a list");
        }
        tell(visitor_.open(visitor_.self, 0));
        members(nodes, 0);
        tell(visitor_.close(visitor_.self, 0));
        for (Column &column : columns_) {
            if (column.more() && column.rep() != 0)
                throw parquet::ParquetException("column ", column.path(), ": a list goes on behind its end");
        }
    }

  private:
    static void tell(int result)
    {
        if (result != 0)
            throw std::bad_alloc();
    }
    void members(const std::vector<Node> &nodes, int16_t least)
    {
        for (const Node &node : nodes) {
            tell(visitor_.key(visitor_.self, node.name.c_str()));
            visit(node, least);
        }
    }
    static void disagree(const Column &column)
    {
        throw parquet::ParquetException("column ", column.path(),
                                        " and its neighbours tell of different values");
    }
    void take(Column &column, mill_parquet_value *value)
    {
        *value = {};
        if (++places_ > PLACES_MAX)
            throw parquet::ParquetException("column ", column.path(), ": a row of more than ", PLACES_MAX,
                                            " places");
        column.take(value);
    }
    // Takes one place of all columns of a node that has no values here.
    void skip(const Node &node, int16_t level)
    {
        mill_parquet_value nothing;
        for (size_t i = node.first; i < node.end; i++) {
            if (columns_[i].def() != level)
                disagree(columns_[i]);
            take(columns_[i], &nothing);
        }
    }
    // True if all columns of the list begin one more item.
    bool goes_on(const Node &node)
    {
        size_t count = 0;
        for (size_t i = node.first; i < node.end; i++)
            count += columns_[i].more() && columns_[i].rep() == node.item_rep;
        if (count != 0 && count != node.end - node.first)
            throw parquet::ParquetException("column ", columns_[node.first].path(),
                                            " and its neighbours have lists of different lengths");
        return count != 0;
    }
    // least: what the level must be for the nodes around this one to be there. Every caller has seen that all
    // columns of the node have a place left.
    void visit(const Node &node, int16_t least)
    {
        int16_t level = columns_[node.first].def();
        mill_parquet_value value = {};
        if (level < least)
            disagree(columns_[node.first]);
        if (level < node.def) {
            skip(node, level);
            tell(visitor_.value(visitor_.self, &value));
        } else if (node.kind == Node::VALUE) {
            take(columns_[node.first], &value);
            tell(visitor_.value(visitor_.self, &value));
        } else if (node.kind == Node::STRUCT) {
            tell(visitor_.open(visitor_.self, 0));
            members(node.children, node.def);
            tell(visitor_.close(visitor_.self, 0));
        } else {
            tell(visitor_.open(visitor_.self, 1));
            if (level < node.item_def) {
                skip(node, level);
            } else {
                do
                    visit(node.children[0], node.item_def);
                while (goes_on(node));
            }
            tell(visitor_.close(visitor_.self, 1));
        }
    }

    std::vector<Column> &columns_;
    const mill_parquet_visitor &visitor_;
    uint64_t places_ = 0;
};

} // namespace

#endif
