// The JSON scanner: recursive descent over one pointer, at most 32 levels deep.
#include "tasks/json_text.hpp"

#include <cstdint>
#include <cstring>

namespace reeve::tasks::detail {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool document() {
    skip_space();
    if (!value(0)) return false;
    skip_space();
    return at_ == text_.size();
  }
  std::size_t position() const { return at_; }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool value(int depth) {
    if (at_ >= text_.size()) return false;
    switch (text_[at_]) {
      case '{':
        return depth < json_depth_max && container('}', true, depth);
      case '[':
        return depth < json_depth_max && container(']', false, depth);
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool string() {
    if (!take('"')) return false;
    while (at_ < text_.size()) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') return ++at_, true;
      if (c < 0x20) return false;
      ++at_;
      if (c == '\\' && !escape()) return false;
    }
    return false;
  }

 private:
  bool container(char close, bool named, int depth) {
    ++at_;
    skip_space();
    if (take(close)) return true;
    for (;;) {
      skip_space();
      if (named) {
        if (!string()) return false;
        skip_space();
        if (!take(':')) return false;
        skip_space();
      }
      if (!value(depth + 1)) return false;
      skip_space();
      if (take(close)) return true;
      if (!take(',')) return false;
    }
  }

  bool word(std::string_view w) {
    if (text_.substr(at_, w.size()) != w) return false;
    at_ += w.size();
    return true;
  }

  bool digits() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ > begin;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return digits();
    }
    return true;
  }

  std::optional<std::uint32_t> hex4() {
    if (text_.size() - at_ < 4) return std::nullopt;
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[at_ + i];
      code <<= 4;
      if (c >= '0' && c <= '9')
        code |= c - '0';
      else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        code |= (c | 0x20) - 'a' + 10;
      else
        return std::nullopt;
    }
    at_ += 4;
    return code;
  }

  bool escape() {
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    if (std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos) return true;
    if (c != 'u') return false;
    const auto high = hex4();
    if (!high) return false;
    if (*high >= 0xDC00 && *high <= 0xDFFF) return false;
    if (*high < 0xD800 || *high > 0xDBFF) return true;
    if (!take('\\') || !take('u')) return false;
    const auto low = hex4();
    return low && *low >= 0xDC00 && *low <= 0xDFFF;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace

std::optional<std::size_t> find_json_fault(std::string_view text) {
  if (!is_valid_utf8(text)) return 0;
  Scanner scanner(text);
  if (scanner.document()) return std::nullopt;
  return scanner.position();
}

std::vector<JsonMember> members_of(std::string_view object) {
  std::vector<JsonMember> members;
  Scanner scan(object);
  scan.skip_space();
  if (!scan.take('{')) return members;
  scan.skip_space();
  while (!scan.take('}')) {
    scan.skip_space();
    std::size_t begin = scan.position();
    if (!scan.string()) break;
    std::string name = unquote(object.substr(begin, scan.position() - begin));
    scan.skip_space();
    scan.take(':');
    scan.skip_space();
    begin = scan.position();
    if (!scan.value(0)) break;
    members.push_back({std::move(name), object.substr(begin, scan.position() - begin)});
    scan.skip_space();
    scan.take(',');
    scan.skip_space();
  }
  return members;
}

namespace {

/// `at` is behind the opening quote; the answer is behind the closing one.
std::size_t end_of_string(std::string_view text, std::size_t at) noexcept {
  for (;;) {
    at = text.find('"', at);
    if (at == std::string_view::npos) return text.size();
    std::size_t slashes = 0;
    while (text[at - 1 - slashes] == '\\') ++slashes;  // the opening quote stops it
    ++at;
    if (slashes % 2 == 0) return at;
  }
}

}  // namespace

std::size_t end_of_value(std::string_view text, std::size_t at) noexcept {
  if (text[at] == '"') return end_of_string(text, at + 1);
  if (text[at] != '{' && text[at] != '[') {
    while (at < text.size() && text[at] != ',' && text[at] != '}' && text[at] != ']') ++at;
    return at;
  }
  for (int depth = 0; at < text.size();) {
    switch (text[at++]) {
      case '"':
        at = end_of_string(text, at);
        break;
      case '{':
      case '[':
        ++depth;
        break;
      case '}':
      case ']':
        if (--depth == 0) return at;
        break;
      default:
        break;
    }
  }
  return text.size();
}

std::string unquote(std::string_view quoted) {
  std::string out;
  out.reserve(quoted.size());
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    if (quoted[i] != '\\') {
      out += quoted[i];
      continue;
    }
    const char c = quoted[++i];
    if (c != 'u') {
      constexpr std::string_view from = "bfnrt", to = "\b\f\n\r\t";
      const auto k = from.find(c);
      out += k == std::string_view::npos ? c : to[k];
      continue;
    }
    auto hex = [&] {
      const auto code = std::stoul(std::string(quoted.substr(i + 1, 4)), nullptr, 16);
      i += 4;
      return static_cast<std::uint32_t>(code);
    };
    std::uint32_t code = hex();
    if (code >= 0xD800 && code <= 0xDBFF) {
      i += 2;
      code = 0x10000 + ((code - 0xD800) << 10) + (hex() - 0xDC00);
    }
    append_utf8(out, code);
  }
  return out;
}

void append_quoted(std::string& out, std::string_view value) {
  constexpr char hex[] = "0123456789abcdef";
  out += '"';
  std::size_t clean = 0;  // from here to `i` nothing needs an escape
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool control = static_cast<unsigned char>(c) < 0x20;
    if (!control && c != '"' && c != '\\') continue;
    out.append(value, clean, i - clean);
    clean = i + 1;
    if (control) {
      out += "\\u00";
      out += hex[c >> 4];
      out += hex[c & 15];
    } else {
      out += '\\';
      out += c;
    }
  }
  out.append(value, clean);
  out += '"';
}

bool is_valid_utf8(std::string_view text) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  auto follows = [&](int n) {
    if (end - p <= n) return false;
    for (int i = 1; i <= n; ++i)
      if ((p[i] & 0xC0) != 0x80) return false;
    return true;
  };
  while (p < end) {
    std::uint64_t eight = 0;
    if (end - p >= 8 && (std::memcpy(&eight, p, 8), (eight & 0x8080808080808080ULL) == 0)) {
      p += 8;
    } else if (*p < 0x80) {
      ++p;
    } else if (*p >= 0xC2 && *p <= 0xDF) {
      if (!follows(1)) return false;
      p += 2;
    } else if (*p >= 0xE0 && *p <= 0xEF) {
      if (!follows(2) || (*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F)) return false;
      p += 3;
    } else if (*p >= 0xF0 && *p <= 0xF4) {
      if (!follows(3) || (*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] > 0x8F)) return false;
      p += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace reeve::tasks::detail
