// Plots as SVG text.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "reeve/alloc/comparison.hpp"

namespace reeve::alloc {

namespace {

// A palette that stays apart for colour-blind readers (Okabe and Ito).
constexpr const char* colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                   "#e69f00", "#56b4e9", "#000000"};

std::string format(const char* pattern, double a, double b = 0, double c = 0, double d = 0) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, a, b, c, d);
  return text;
}

std::string escaped(const std::string& s) {
  std::string text;
  for (char c : s) text += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  return text;
}

struct Axes {
  double left, right, low, high;  // data
  double x0, x1, y0, y1;          // page
  bool log_x;
  double x(double v) const {
    if (log_x) v = std::log10(std::max(v, std::pow(10, left)));
    return x0 + (v - left) / (right - left) * (x1 - x0);
  }
  double y(double v) const { return y1 - (v - low) / (high - low) * (y1 - y0); }
};

Axes axes_of(const std::vector<Series>& series, const PlotOptions& o) {
  Axes a{INFINITY, -INFINITY, 0, 0, 60.0, o.width - 20.0, 36.0, o.height - 48.0, o.log_x};
  double least = INFINITY;
  for (const auto& s : series)
    for (const auto& [x, y] : s.points) {
      a.high = std::max(a.high, y);
      if (o.log_x && x <= 0) continue;
      least = std::min(least, x);
      a.right = std::max(a.right, x);
    }
  a.left = o.log_x ? std::floor(std::log10(std::max(least, 1e-3))) : std::min(0.0, least);
  if (o.log_x) a.right = std::ceil(std::log10(std::max(a.right, 1e-2)));
  if (!std::isfinite(a.left)) a.left = 0;
  if (!(a.right > a.left)) a.right = a.left + 1;
  if (a.high <= 0) a.high = 1;
  return a;
}

double step_for(double range) {
  const double rough = range / 6;
  const double ten = std::pow(10, std::floor(std::log10(rough)));
  for (double m : {1.0, 2.0, 5.0})
    if (rough <= m * ten) return m * ten;
  return 10 * ten;
}

std::string ticks(const Axes& a) {
  std::string text;
  const auto line_x = [&](double page, double value) {
    text += format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
                   page, a.y0, page, a.y1);
    text += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n", page,
                   a.y1 + 16, value);
  };
  if (a.log_x) {
    for (double p = a.left; p <= a.right + 1e-9; ++p)
      line_x(a.x0 + (p - a.left) / (a.right - a.left) * (a.x1 - a.x0), std::pow(10, p));
  } else {
    const double step = step_for(a.right - a.left);
    for (double v = std::ceil(a.left / step) * step; v <= a.right + 1e-9; v += step)
      line_x(a.x(v), v);
  }
  const double step = step_for(a.high - a.low);
  for (int k = 0; a.low + k * step <= a.high + 1e-9; ++k) {
    const double v = a.low + k * step;
    text += format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
                   a.x0, a.y(v), a.x1, a.y(v));
    text += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", a.x0 - 6,
                   a.y(v) + 4, v);
  }
  return text;
}

}  // namespace

std::string svg_plot(const std::vector<Series>& series, const PlotOptions& o) {
  const Axes a = axes_of(series, o);
  std::string text = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      o.width, o.height);
  text +=
      format("<text x=\"%.1f\" y=\"20\" font-size=\"14\" text-anchor=\"middle\">", o.width / 2.0);
  text += escaped(o.title) + "</text>\n" + ticks(a);
  text += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", (a.x0 + a.x1) / 2,
                 o.height - 12.0);
  text += escaped(o.x_label) + "</text>\n";
  text += format("<text transform=\"translate(14,%.1f) rotate(-90)\" text-anchor=\"middle\">",
                 (a.y0 + a.y1) / 2);
  text += escaped(o.y_label) + "</text>\n";
  for (std::size_t i = 0; i < series.size(); ++i) {
    const char* colour = colours[i % std::size(colours)];
    text += "<path fill=\"none\" stroke-width=\"1.5\" stroke=\"";
    text += colour;
    text += "\" d=\"";
    bool first = true;
    for (const auto& [x, y] : series[i].points) {
      if (!first && o.steps) text += format("H%.1f", a.x(x));
      text += format(first ? "M%.1f,%.1f" : "L%.1f,%.1f", a.x(x), a.y(y));
      first = false;
    }
    text += "\"/>\n";
    text += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"", a.x1 - 8,
                   a.y1 - 8 - 14.0 * double(series.size() - 1 - i));
    text += colour;
    text += "\">" + escaped(series[i].name) + "</text>\n";
  }
  return text + "</svg>\n";
}

}  // namespace reeve::alloc
