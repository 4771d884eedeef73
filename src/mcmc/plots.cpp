// SVG pictures of draws.
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/output.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace reeve::mcmc {
namespace {

constexpr double width = 640, height = 280, left = 78, right = 14, top = 30, bottom = 52;
constexpr const char* colours[] = {"#1b6ca8", "#d1603d", "#3a8f5c",
                                   "#8a5a9e", "#b58900", "#5b6770"};

struct Range {
  double low, high;
  void widen(double x) {
    if (!std::isfinite(x)) return;
    low = std::min(low, x);
    high = std::max(high, x);
  }
};
Range empty_range() {
  return {INFINITY, -INFINITY};
}

std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += c;
  }
  return out;
}

// `tau [s]`
std::string with_unit(const std::string& name, const std::string& unit) {
  return unit.empty() ? name : name + " [" + unit + "]";
}

// A unit of several words, below a fraction line.
std::string in_brackets(const std::string& unit) {
  return unit.find_first_of(" /") == std::string::npos ? unit : "(" + unit + ")";
}

/// Axes with names and about five round ticks each, and a title.
class Plot {
 public:
  Plot(const std::string& title, Range x, const std::string& x_name, Range y,
       const std::string& y_name)
      : x_(fix(x)), y_(fix(y)) {
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" "
        "font-family=\"sans-serif\" font-size=\"11\"><rect width=\"100%\" height=\"100%\" "
        "fill=\"white\"/>\n"
        "<text x=\"{2}\" y=\"18\" font-size=\"13\" font-weight=\"bold\">{3}</text>\n",
        width, height, left, escape(title));
    for (const double t : ticks(y_))
      out_ += fmt::format(
          "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>"
          "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\" fill=\"#555\">{5:.4g}</text>\n",
          left, width - right, py(t), left - 6, py(t) + 4, t);
    for (const double t : ticks(x_))
      out_ += fmt::format(
          "<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{:.4g}</text>\n", px(t),
          height - bottom + 16, t);
    out_ += fmt::format(
        "<text class=\"x-axis\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n"
        "<text class=\"y-axis\" x=\"14\" y=\"{:.1f}\" text-anchor=\"middle\" "
        "transform=\"rotate(-90 14 {:.1f})\">{}</text>\n",
        (left + width - right) / 2, height - bottom + 36, escape(x_name),
        (top + height - bottom) / 2, (top + height - bottom) / 2, escape(y_name));
  }
  double px(double x) const {
    return left + (x - x_.low) / (x_.high - x_.low) * (width - left - right);
  }
  double py(double y) const {
    return height - bottom - (y - y_.low) / (y_.high - y_.low) * (height - top - bottom);
  }
  void line(const std::vector<double>& x, const std::vector<double>& y, const char* colour,
            double stroke = 1.2) {
    out_ += fmt::format(
        "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-opacity=\"0.8\" "
        "points=\"",
        colour, stroke);
    for (std::size_t i = 0; i < x.size(); ++i)
      if (std::isfinite(x[i]) && std::isfinite(y[i]))
        out_ += fmt::format("{:.1f},{:.1f} ", px(x[i]), py(y[i]));
    out_ += "\"/>\n";
  }
  void add(const std::string& text) { out_ += text; }
  /// Names of colours, on the title's line at the right.
  void legend(const std::vector<std::pair<std::string, std::string>>& entries) {
    double x = width - right;
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
      x -= 6.2 * double(entry->first.size()) + 8;
      out_ += fmt::format(
          "<text class=\"legend\" x=\"{:.1f}\" y=\"18\" fill=\"#333\">{}</text>"
          "<rect x=\"{:.1f}\" y=\"9\" width=\"12\" height=\"10\" {}/>\n",
          x, escape(entry->first), x - 16, entry->second);
      x -= 22;
    }
  }
  void chains(std::size_t count) {
    std::vector<std::pair<std::string, std::string>> entries;
    for (std::size_t c = 0; c < std::min(count, std::size(colours)); ++c)
      entries.emplace_back(fmt::format("chain {}", c + 1), fmt::format("fill=\"{}\"", colours[c]));
    if (count > std::size(colours)) entries.back().first += " ...";
    legend(entries);
  }
  std::string finish() { return out_ + "</svg>\n"; }

 private:
  static Range fix(Range r) {
    if (!(r.low <= r.high)) r = {0, 1};
    if (r.high - r.low < 1e-300) r = {r.low - 0.5, r.high + 0.5};
    return r;
  }
  static std::vector<double> ticks(Range r) {
    const double rough = (r.high - r.low) / 5, power = std::pow(10, std::floor(std::log10(rough)));
    const double step = rough / power < 1.5   ? power
                        : rough / power < 3.5 ? 2 * power
                        : rough / power < 7.5 ? 5 * power
                                              : 10 * power;
    std::vector<double> all;
    for (double t = std::ceil(r.low / step) * step; t <= r.high && all.size() < 12; t += step)
      all.push_back(std::abs(t) < step * 1e-9 ? 0 : t);
    return all;
  }
  Range x_, y_;
  std::string out_;
};

const char* colour(std::size_t i) {
  return colours[i % std::size(colours)];
}

}  // namespace

std::string trace_svg(const Run& run, std::size_t parameter, const std::string& unit) {
  Range y = empty_range();
  const auto& values = run.values(parameter);
  for (const auto& chain : values)
    for (const double v : chain) y.widen(v);
  const std::string name = run.names()[parameter];
  Plot plot(name + ": trace", {0, std::max<double>(double(run.draws()), 1)}, "draw", y,
            with_unit(name, unit));
  const std::size_t stride = std::max<std::size_t>(1, run.draws() / 1000);
  for (std::size_t c = 0; c < values.size(); ++c) {
    std::vector<double> x, v;
    for (std::size_t i = 0; i < run.draws(); i += stride) {
      x.push_back(double(i));
      v.push_back(values[c][i]);
    }
    plot.line(x, v, colour(c), 0.8);
  }
  plot.chains(values.size());
  return plot.finish();
}

std::string rank_svg(const Run& run, std::size_t parameter) {
  constexpr std::size_t bins = 20;
  const auto& values = run.values(parameter);
  struct Item {
    double value;
    std::size_t chain;
  };
  std::vector<Item> all;
  for (std::size_t c = 0; c < values.size(); ++c)
    for (const double v : values[c]) all.push_back({v, c});
  std::sort(all.begin(), all.end(), [](const Item& a, const Item& b) {
    return a.value != b.value ? a.value < b.value : a.chain < b.chain;
  });
  std::vector<std::vector<double>> counts(values.size(), std::vector<double>(bins, 0));
  for (std::size_t i = 0; i < all.size(); ++i) counts[all[i].chain][i * bins / all.size()] += 1;
  double most = 1;
  for (const auto& row : counts) most = std::max(most, *std::max_element(row.begin(), row.end()));
  Plot plot(run.names()[parameter] + ": ranks by chain", {0, double(all.size())},
            "rank among all draws", {0, most * 1.05}, "draws per bin");
  for (std::size_t c = 0; c < counts.size(); ++c) {
    std::vector<double> x, y;
    for (std::size_t b = 0; b < bins; ++b) {
      const double width_of_bin = double(all.size()) / double(bins);
      x.insert(x.end(), {double(b) * width_of_bin, double(b + 1) * width_of_bin});
      y.insert(y.end(), {counts[c][b], counts[c][b]});
    }
    plot.line(x, y, colour(c), 1.6);
  }
  plot.chains(counts.size());
  return plot.finish();
}

std::string density_svg(const Run& run, std::size_t parameter, const std::string& unit) {
  const auto& values = run.values(parameter);
  Range x = empty_range();
  for (const auto& chain : values)
    for (const double v : chain) x.widen(v);
  constexpr std::size_t points = 160;
  std::vector<std::vector<double>> curves;
  std::vector<double> grid(points);
  for (std::size_t i = 0; i < points; ++i)
    grid[i] = x.low + (x.high - x.low) * double(i) / (points - 1);
  Range y{0, 0};
  for (const auto& chain : values) {
    // Normal kernel, Silverman's bandwidth with the interquartile range.
    const ChainDraws one{chain};
    const double spread =
        std::min(standard_deviation(one), (quantile(one, 0.75) - quantile(one, 0.25)) / 1.34);
    const double h = std::max(
        0.9 * spread * std::pow(double(std::max<std::size_t>(chain.size(), 1)), -0.2), 1e-300);
    auto& curve = curves.emplace_back(points, 0.0);
    for (std::size_t i = 0; i < points; ++i) {
      for (const double v : chain)
        curve[i] += std::exp(-0.5 * (grid[i] - v) * (grid[i] - v) / (h * h));
      curve[i] /= double(chain.size()) * h * std::sqrt(2 * std::numbers::pi);
      y.widen(curve[i]);
    }
  }
  const std::string name = run.names()[parameter];
  Plot plot(name + ": density by chain", x, with_unit(name, unit), {0, y.high * 1.05},
            unit.empty() ? "density" : fmt::format("density [1/{}]", in_brackets(unit)));
  for (std::size_t c = 0; c < curves.size(); ++c) plot.line(grid, curves[c], colour(c), 1.6);
  plot.chains(curves.size());
  return plot.finish();
}

std::string predictive_svg(const PredictiveBand& band, const std::vector<double>& x,
                           const std::vector<double>& y, const std::string& title,
                           const std::string& x_name, const std::string& y_name) {
  Range rx = empty_range(), ry = empty_range();
  for (const double v : band.x) rx.widen(v);
  for (const double v : x) rx.widen(v);
  for (const auto* side : {&band.low, &band.high, &y})
    for (const double v : *side) ry.widen(v);
  Plot plot(title, rx, x_name, ry, y_name);
  std::string area = "<polygon fill=\"#1b6ca8\" fill-opacity=\"0.18\" points=\"";
  for (std::size_t i = 0; i < band.x.size(); ++i)
    area += fmt::format("{:.1f},{:.1f} ", plot.px(band.x[i]), plot.py(band.high[i]));
  for (std::size_t i = band.x.size(); i-- > 0;)
    area += fmt::format("{:.1f},{:.1f} ", plot.px(band.x[i]), plot.py(band.low[i]));
  plot.add(area + "\"/>\n");
  plot.line(band.x, band.middle, colours[0], 2);
  for (std::size_t i = 0; i < x.size(); ++i)
    plot.add(fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" fill=\"#d1603d\"/>\n",
                         plot.px(x[i]), plot.py(y[i])));
  plot.legend({{"data", "fill=\"#d1603d\""},
               {"median", "fill=\"#1b6ca8\""},
               {band.label, "fill=\"#1b6ca8\" fill-opacity=\"0.18\""}});
  return plot.finish();
}

}  // namespace reeve::mcmc
