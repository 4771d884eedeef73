// Dashboard data as a table and as JSON.
#include <algorithm>
#include <cstdio>

#include "reeve/alloc/metrics.hpp"

namespace reeve::alloc {

namespace {

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", v);
  return text;
}

std::string percent(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f%%", v * 100);
  return text;
}

std::string in_quotes(std::string_view s) {
  std::string text(1, '"');
  for (char c : s) {
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      text += code;
    } else {
      text += c;
    }
  }
  return text += '"';
}

// Rows of equal width; the first is the head.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> width;
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i >= width.size()) width.push_back(0);
      width[i] = std::max(width[i], row[i].size());
    }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(width[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line;
    text += '\n';
  }
  return text;
}

std::string counts_line(const char* name, const std::map<std::string, std::uint64_t>& counts) {
  std::string text = name;
  for (const auto& [key, n] : counts) {
    text += ' ';
    text += key;
    text += ' ';
    text += std::to_string(n);
  }
  return text += '\n';
}

// {"a":1,...} built field by field.
class Object {
 public:
  Object& raw(const char* key, const std::string& value) {
    if (text_.size() > 1) text_ += ',';
    text_ += in_quotes(key);
    text_ += ':';
    text_ += value;
    return *this;
  }
  Object& text(const char* key, const std::string& value) { return raw(key, in_quotes(value)); }
  Object& real(const char* key, double value) { return raw(key, number(value)); }
  template <class T>
  Object& whole(const char* key, T value) {
    return raw(key, std::to_string(value));
  }
  std::string done() const { return text_ + '}'; }

 private:
  std::string text_ = "{";
};

template <class Rows, class Write>
std::string array(const Rows& rows, Write write) {
  std::string text(1, '[');
  for (const auto& row : rows) {
    if (text.size() > 1) text += ',';
    text += write(row);
  }
  return text += ']';
}

std::string counts_object(const std::map<std::string, std::uint64_t>& counts) {
  Object o;
  for (const auto& [key, n] : counts) o.whole(key.c_str(), n);
  return o.done();
}

}  // namespace

std::string to_text(const DashboardData& d) {
  std::vector<std::vector<std::string>> rows{{"dimension", "capacity", "held", "committed",
                                              "booked", "free", "debt", "used", "mean",
                                              "fragmented"}};
  for (const auto& x : d.dims)
    rows.push_back({x.name, to_text(x.capacity, x.counted), to_text(x.held, x.counted),
                    to_text(x.committed, x.counted), to_text(x.booked, x.counted),
                    to_text(x.free, x.counted), to_text(x.debt, x.counted), percent(x.utilisation),
                    percent(x.mean_utilisation), percent(x.fragmentation)});
  std::string text = table(rows);
  rows = {{"resource", "state", "class", "used"}};
  for (const auto& x : d.resources)
    rows.push_back({x.name, x.state, x.of_class, percent(x.utilisation)});
  text += '\n' + table(rows);
  rows = {{"owner", "live", "granted", "mean wait s", "longest s"}};
  for (const auto& x : d.owners)
    rows.push_back({x.name, std::to_string(x.live), std::to_string(x.granted),
                    number(x.mean_wait_s), number(x.longest_wait_s)});
  text += '\n' + table(rows);
  if (!d.pools.empty()) {
    rows = {{"pool", "size", "draining", "used"}};
    for (const auto& x : d.pools)
      rows.push_back(
          {x.name, std::to_string(x.size), std::to_string(x.draining), percent(x.utilisation)});
    text += '\n' + table(rows);
  }
  if (!d.contentions.empty()) {
    rows = {{"contention", "of", "severity", "demand", "supply"}};
    for (const auto& x : d.contentions)
      rows.push_back({std::to_string(x.id), x.dim, x.severity, to_text(x.demand, x.counted),
                      to_text(x.supply, x.counted)});
    text += '\n' + table(rows);
  }
  text += '\n' + counts_line("reservations:", d.reservations);
  text += counts_line("refusals:", d.refusals);
  text += counts_line("held back:", d.held_back);
  text += "waiting: " + std::to_string(d.waiting) + ", longest " + number(d.longest_wait_s) +
          " s; audit " + (d.audit_clean ? "clean" : "NOT clean") + '\n';
  return text;
}

std::string to_json(const DashboardData& d) {
  Object o;
  o.whole("at", d.at);
  o.raw("dims", array(d.dims, [](const auto& x) {
          return Object()
              .text("name", x.name)
              .text("counted", to_string(x.counted))
              .whole("capacity", x.capacity)
              .whole("held", x.held)
              .whole("committed", x.committed)
              .whole("booked", x.booked)
              .whole("free", x.free)
              .whole("debt", x.debt)
              .real("utilisation", x.utilisation)
              .real("mean_utilisation", x.mean_utilisation)
              .real("fragmentation", x.fragmentation)
              .done();
        }));
  o.raw("resources", array(d.resources, [](const auto& x) {
          return Object()
              .text("name", x.name)
              .text("state", x.state)
              .text("class", x.of_class)
              .real("utilisation", x.utilisation)
              .done();
        }));
  o.raw("classes", array(d.classes, [](const auto& x) {
          return Object()
              .text("class", x.of_class)
              .whole("resources", x.resources)
              .real("utilisation", x.utilisation)
              .done();
        }));
  o.raw("owners", array(d.owners, [](const auto& x) {
          return Object()
              .text("name", x.name)
              .whole("live", x.live)
              .raw("used", array(x.used, [](std::int64_t v) { return std::to_string(v); }))
              .whole("granted", x.granted)
              .real("mean_wait_s", x.mean_wait_s)
              .real("longest_wait_s", x.longest_wait_s)
              .done();
        }));
  o.raw("contentions", array(d.contentions, [](const auto& x) {
          return Object()
              .whole("id", x.id)
              .text("dim", x.dim)
              .text("counted", to_string(x.counted))
              .text("severity", x.severity)
              .whole("demand", x.demand)
              .whole("supply", x.supply)
              .done();
        }));
  o.raw("pools", array(d.pools, [](const auto& x) {
          return Object()
              .text("name", x.name)
              .whole("size", x.size)
              .whole("draining", x.draining)
              .real("utilisation", x.utilisation)
              .done();
        }));
  o.raw("reservations", counts_object(d.reservations));
  o.raw("refusals", counts_object(d.refusals));
  o.raw("held_back", counts_object(d.held_back));
  o.whole("waiting", d.waiting).real("longest_wait_s", d.longest_wait_s);
  o.raw("audit_clean", d.audit_clean ? "true" : "false");
  return o.done();
}

}  // namespace reeve::alloc
