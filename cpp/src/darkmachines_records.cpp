// Where records begin and end, found at the speed of memchr without reading their numbers.
#include <algorithm>
#include <set>

#include "evtok/darkmachines.hpp"

namespace evtok {
namespace {

/// State of a line after `size` more bytes of it.
OpenLine extend(OpenLine open, const char* bytes, int64_t size) {
  if (size == 0 || open == OpenLine::content) return open;
  return open == OpenLine::empty && size == 1 && bytes[0] == '\r' ? OpenLine::carriage_return
                                                                  : OpenLine::content;
}

}  // namespace

RecordScan scan_records(const char* text, int64_t size, int64_t limit, OpenLine open) {
  RecordScan scan{0, 0, 0, open};
  while (scan.used < size && scan.records < limit) {
    const char* const line = text + scan.used;
    const auto* const found =
        static_cast<const char*>(std::memchr(line, '\n', static_cast<size_t>(size - scan.used)));
    scan.open = extend(scan.open, line, found == nullptr ? size - scan.used : found - line);
    if (found == nullptr) break;
    scan.records += scan.open == OpenLine::content;
    scan.open = OpenLine::empty;
    ++scan.lines;
    scan.used = found + 1 - text;
  }
  return scan;
}

bool is_process_name(std::string_view name) {
  return !name.empty() && name.size() <= 256 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f && c != ','; });
}

void collect_processes(const char* text, int64_t size, std::vector<std::string>& names) {
  std::set<std::string, std::less<>> known(names.begin(), names.end());
  std::string_view previous;
  const char* const end = text + size;
  for (const char* p = text; p != end;) {
    const Line line = next_line(p, end);
    const char* const first = std::find(p, line.end, ';');
    p = line.next;
    if (first == line.end) continue;
    const char* const second = std::find(first + 1, line.end, ';');
    const std::string_view name(first + 1, static_cast<size_t>(second - first - 1));
    if (name == previous || !is_process_name(name)) continue;  // names come in long runs
    previous = name;
    if (known.emplace(name).second) names.emplace_back(name);
  }
}

}  // namespace evtok
