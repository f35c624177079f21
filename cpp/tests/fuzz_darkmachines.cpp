// Hostile text for the Dark Machines parser. With clang: -fsanitize=fuzzer -DEVTOK_LIBFUZZER. Without it,
// main() replays the same mutations of a small corpus every time, so that ctest runs them under the
// sanitizers.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "evtok/darkmachines.hpp"

namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::printf("broken promise: %s\n", what);
  std::abort();
}

template <class Real> void check(const char* text, int64_t size, int64_t cut, bool skip_bad) {
  using namespace evtok;
  DarkMachinesOptions options;
  options.skip_bad = skip_bad;
  constexpr int64_t all = INT64_MAX;
  const RecordScan scan = scan_records(text, size, all, OpenLine::empty);
  const int64_t n_records = scan.records + (scan.open == OpenLine::content);
  const auto whole = parse_darkmachines<Real>(text, size, all, true, options);
  for (const BadRecord& bad : whole.bad) {
    require(0 <= bad.begin && bad.begin < bad.end && bad.end <= size, "a bad record lies in the text");
    require(bad.reason.size() < 400, "a reason is short");
    for (const char c : bad.reason) require(c >= 0x20 && c < 0x7f, "a reason is printable");
  }
  if (!skip_bad) return;
  const auto n_bad = static_cast<int64_t>(whole.bad.size());
  require(whole.events + n_bad == n_records && whole.records == n_records,
          "every record is an event or a bad record");
  require(whole.used == size, "all text is consumed");
  const auto head = parse_darkmachines<Real>(text, cut, all, false, options);
  const auto tail = parse_darkmachines<Real>(text + head.used, size - head.used, all, true, options);
  require(head.events + tail.events == whole.events && head.objects + tail.objects == whole.objects &&
              head.lines + tail.lines == whole.lines,
          "a text in two blocks gives what it gives in one");
  std::vector<std::string> names;
  collect_processes(text, size, names);
  require(whole.events == 0 || !names.empty(), "every event has a process");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<char> text(data, data + size);  // of exactly this size, for the sanitizer
  const auto n = static_cast<int64_t>(size);
  const int64_t cut = n == 0 ? 0 : data[size / 2] * n / 255;
  for (const bool skip_bad : {false, true}) {
    check<float>(text.data(), n, cut, skip_bad);
    check<double>(text.data(), n, cut, skip_bad);
  }
  return 0;
}

#ifndef EVTOK_LIBFUZZER
int main() {
  const std::string corpus[] = {
      "354;monojet;2.44336e-05;832841;-1.22431;b,947383,824498,-0.523103,1.64421;j,258722,243675,0.32,2.25;"
      "\n",
      "0;ttbar;0.252605;1.06946e+06;1.32779;g51004.9,47077.3,0.49,1.8;mu-,8,4,1.33,0.03;e+,4,3,0.6,2."
      "7\r\n\r\n",
      "1;p;1;2;3\n\n2;q;1e-400;1e22;-0;m+,1e23,123456789012345678901234567890,.5,5.\n3;r;1;2;3;a1,2,3,4",
      "",
  };
  const char pieces[] = "0123456789.;,-+eEjbgamu\n\r\0 x\xff";
  std::mt19937_64 random(7);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int k = 0; k < 20'000; ++k) {
    std::string text = corpus[below(std::size(corpus))];
    if (k % 3 == 0) text += corpus[below(std::size(corpus))];
    for (size_t n = below(6); n-- > 0;) {
      const size_t at = below(text.size() + 1), kind = below(5);
      const char c = pieces[below(sizeof pieces - 1)];
      if (kind == 0) text.insert(at, 1, c);
      if (kind == 1 && at < text.size()) text[at] = c;
      if (kind == 2) text.erase(at, below(20));
      if (kind == 3) text.insert(at, text.substr(below(text.size() + 1), below(60)));
      if (kind == 4 && at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
    }
    if (k % 500 == 0) text.insert(below(text.size() + 1), below(1'100'000), pieces[below(sizeof pieces - 1)]);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  }
  std::printf("20000 texts\n");
}
#endif
