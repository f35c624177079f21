// Numbers are compared with ==: there is no tolerance in the contract of the parser.
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "evtok/darkmachines.hpp"
#include "evtok/decimal.hpp"

using namespace evtok;

namespace {

const std::string record =
    "354;monojet;2.44336e-05;832841;-1.22431;b,947383,824498,-0.523103,1.64421;j,39507.6,1,2,3;";

Decimal read(const std::string& text) {
  return read_decimal(text.data(), text.data() + text.size());
}

DarkMachinesBlock<double> parse(const std::string& text, bool last = true, int64_t limit = 1'000'000,
                                bool skip = true, int threads = 1) {
  DarkMachinesOptions options;
  options.skip_bad = skip;
  options.threads = threads;
  // A copy of exactly this size: the sanitizer then sees a read behind the end.
  const std::vector<char> exact(text.begin(), text.end());
  return parse_darkmachines<double>(exact.data(), static_cast<int64_t>(exact.size()), limit, last, options);
}

std::string reason(const std::string& text) {
  const auto block = parse(text);
  return block.bad.size() == 1 ? block.bad[0].reason : "not one bad record";
}

bool says(const std::string& text, const std::string& part) {
  const std::string why = reason(text);
  if (why.find(part) == std::string::npos) std::printf("%s\n", why.c_str());
  return why.find(part) != std::string::npos;
}

void test_decimals_are_nearest() {
  // Random texts of every length, against from_chars, which takes another way.
  std::mt19937_64 random(1);
  for (int k = 0; k < 200'000; ++k) {
    std::string text = random() % 2 ? "-" : "";
    for (uint64_t n = random() % 21 + 1; n-- > 0;) text += static_cast<char>('0' + random() % 10);
    if (random() % 4) text.insert(text.size() - random() % (text.size() - (text[0] == '-')), ".");
    if (random() % 3 == 0) text += (random() % 2 ? "e" : "E-") + std::to_string(random() % 30);
    double expected = 0;
    std::from_chars(text.data(), text.data() + text.size(), expected);
    const Decimal number = read(text);
    CHECK(number.fault == DecimalFault::none && number.value == expected &&
          number.end == text.data() + text.size());
  }
  for (const double x :
       {0.1, 1e22, 1e23, 9007199254740993.0, 4.9e-324, 2.2250738585072014e-308, 1.7976931348623157e308}) {
    char text[64];
    const auto written = std::to_chars(text, text + sizeof text, x);
    CHECK(read_decimal(text, written.ptr).value == x);
  }
}

void test_decimals_at_the_limits() {
  CHECK(read("1e400").fault == DecimalFault::overflow && read("-0.1e400").fault == DecimalFault::overflow);
  CHECK(read("1e99999999999999999999").fault == DecimalFault::overflow);
  CHECK(read("1e-400").value == 0 && std::signbit(read("-1e-400").value) && std::signbit(read("-0").value));
  CHECK(read("1e-99999999999999999999").value == 0 && read("0e99999999999999999999").value == 0);
  CHECK(read("2.5e-324").value == std::numeric_limits<double>::denorm_min());
  CHECK(read(std::string(1024, '1')).fault == DecimalFault::overflow);
  CHECK(read(std::string(1025, '1')).fault == DecimalFault::too_long);
  CHECK(read("0." + std::string(900, '0') + "1e901").value == 1);
  for (const char* text : {"", "-", ".", "-.", "+1", " 1", "e5", "1e", "1e+", "inf", "nan", "-nan"})
    CHECK(read(text).fault == DecimalFault::malformed);
  CHECK(read("0x10").value == 0 && *read("0x10").end == 'x');  // the caller meets the x and refuses it
}

void test_a_record() {
  for (const std::string end : {"", ";", "\n", "\r\n", ";\n", ";\r\n"}) {
    const auto block =
        parse("7;p;0.5;1500;-3.5;g,51004.9,2,3,4;g51004.9,2,3,4;a5,2,3,4;mu-,5,2,3,4;m+,5,2,3,4" + end);
    CHECK(block.bad.empty() && block.events == 1 && block.objects == 5);
    const auto& event = block.pieces[0].events[0];
    CHECK(event.id == 7 && event.weight == 0.5 && event.met == 1.5 && event.met_phi == -3.5 &&
          event.process == -1);
    const auto& objects = block.pieces[0].objects;
    CHECK(objects[0].energy == 51004.9 / 1000 && objects[1].energy == 51004.9 / 1000 &&
          objects[0].pt == 0.002);
    CHECK(objects[0].eta == 3 && objects[0].phi == 4);
    CHECK(objects[0].type == 6 && objects[1].type == 6 && objects[2].type == 6 && objects[3].type == 4 &&
          objects[4].type == 5);
  }
  CHECK(parse("7;p;1;2;3").objects == 0 && parse("7;p;1;2;3").events == 1 && parse("7;p;1;2;3;").events == 1);
}

void test_bad_records_say_why() {
  CHECK(says("x;p;1;2;3", "field 1 (event id): expected an integer of 64 bits, got 'x'"));
  CHECK(says("9223372036854775808;p;1;2;3", "field 1 (event id)"));
  CHECK(says("1.5;p;1;2;3", "before field 2 (process): expected ';', got '.5'"));
  CHECK(says("1;;1;2;3", "field 2 (process): expected 1 to 256 printable ASCII characters"));
  CHECK(says("1;p\xff;1;2;3", "got 'p\\xff'"));
  CHECK(says("1;" + std::string(257, 'p') + ";1;2;3", "..."));
  CHECK(says("1;p;1;2", "too few fields: expected ';' and field 5 (METphi), got the end of the line"));
  CHECK(says("1;p;nan;2;3", "field 3 (weight): expected a decimal number"));
  CHECK(says("1;p;1;1e999;3", "field 4 (MET): expected a number within the range of float64"));
  CHECK(says("1;p;1;2;3,5", "after field 5 (METphi): expected ';' or the end of the line (decimals take a "
                            "point, not a comma), got ',5'"));
  CHECK(says("1;p;1;2;3;x,1,2,3,4", "object 1: expected a type (j b e- e+ m- m+ g) and a comma, got 'x'"));
  CHECK(says("1;p;1;2;3;j1,2,3,4", "object 1: expected a type"));
  CHECK(says("1;p;1;2;3;j,1,2,3,4;;", "object 2: expected a type"));
  CHECK(says("1;p;1;2;3;j,1,2,3,4;e-,1,2,3", "object 2: too few values: expected ',' and phi"));
  CHECK(says("1;p;1;2;3;j,1,2,3,4,5", "object 1: too many values: expected ';' after E,pt,eta,phi (decimals "
                                      "take a point, not a comma), got ',5'"));
  CHECK(says("1;p;1;2;3;j,0x1p3,2,3,4", "object 1: before pt: expected ',', got 'x1p3'"));
  CHECK(says("1;p;1;2;3;j,1,2,inf,4",
             "object 1: eta: expected a decimal number such as 1.06946e+06, got 'inf'"));
  CHECK(says(std::string("1;p;1;2;3;j,1\0,2,3,4", 21), "got '\\x00'"));
  CHECK(says("1;p;1;2;3;j," + std::string(2000, '1') + ",2,3,4", "at most 1024 characters"));
  CHECK(says("1;p;1;2;3\r\r\n", "got '\\x0d'"));
  CHECK(says(std::string(max_darkmachines_line + 1, 'x'),
             "expected a line of at most 1048576 bytes, got 1048577"));

  DarkMachinesOptions options;
  options.codes[6] = no_code;
  const std::string photon = "1;p;1;2;3;g,1e300,2,3,4\n", large = "1;p;1;2;3;j,1e300,2,3,4\n";
  const auto size = [](const std::string& text) { return static_cast<int64_t>(text.size()); };
  CHECK(parse_darkmachines<float>(photon.data(), size(photon), 9, true, options).bad[0].reason ==
        "object 1: expected one of the types of the schema, got 'g'");
  CHECK(parse_darkmachines<float>(large.data(), size(large), 9, true, options).bad[0].reason ==
        "object 1: E: expected a number within the range of float32, got '1e300'");
}

void test_bad_records_are_placed() {
  const std::string text = record + "\n\r\nbad\n" + record + "\r\nworse;\r\n" + record;
  const auto block = parse(text);
  CHECK(block.events == 3 && block.objects == 6 && block.records == 5 && block.lines == 6);
  CHECK(block.bad.size() == 2 && block.bad[0].line == 2 && block.bad[0].record == 1 &&
        block.bad[1].line == 4);
  CHECK(text.substr(static_cast<size_t>(block.bad[1].begin),
                    static_cast<size_t>(block.bad[1].end - block.bad[1].begin)) == "worse;");
  CHECK(parse(text, true, 100, false).bad.size() == 1);  // stops at the first
}

void test_blocks_may_end_anywhere() {
  const std::string text = record + "\n\n" + record + "\r\n\r\nbad\n" + record;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const auto head = parse(text.substr(0, cut), false);
    const auto tail = parse(text.substr(static_cast<size_t>(head.used)));
    CHECK(head.used <= static_cast<int64_t>(cut) && head.records + tail.records == 4);
    CHECK(head.events + tail.events == 3 && head.lines + tail.lines == 6 &&
          head.bad.size() + tail.bad.size() == 1);
    const auto size = static_cast<int64_t>(cut);
    const RecordScan first = scan_records(text.data(), size, 99, OpenLine::empty);
    const RecordScan second =
        scan_records(text.data() + cut, static_cast<int64_t>(text.size()) - size, 99, first.open);
    CHECK(first.records + second.records == 3 &&
          second.open == OpenLine::content);  // the last line is still open
    CHECK(first.lines + second.lines == 5);
  }
  for (int64_t limit = 0; limit <= 5; ++limit)
    CHECK(parse(text, true, limit).records == std::min<int64_t>(limit, 4));
}

void test_threads_do_not_matter() {
  std::string text;
  for (int k = 0; k < 20'000; ++k)
    text += k % 997 == 0 ? "bad\n" : std::to_string(k) + record.substr(3) + "\n";
  const auto one = parse(text);
  CHECK(one.pieces.size() > 4);
  for (int threads = 2; threads <= 5; ++threads) {
    const auto many = parse(text, true, 1'000'000, true, threads);
    CHECK(many.events == one.events && many.objects == one.objects && many.bad.size() == one.bad.size());
    for (size_t k = 0; k < one.bad.size(); ++k)
      CHECK(many.bad[k].line == one.bad[k].line && many.bad[k].begin == one.bad[k].begin);
    std::vector<int64_t> offsets(static_cast<size_t>(one.events) + 1), ids(static_cast<size_t>(one.events));
    std::vector<uint8_t> type(static_cast<size_t>(one.objects));
    std::vector<double> values[7];
    for (auto& column : values) column.resize(static_cast<size_t>(one.objects));
    std::vector<int32_t> process(static_cast<size_t>(one.events));
    many.copy_to({offsets.data(), type.data(), values[0].data(), values[1].data(), values[2].data(),
                  values[3].data(), ids.data(), process.data(), values[4].data(), values[5].data(),
                  values[6].data()});
    CHECK(offsets.back() == one.objects && ids[0] == 1 && ids.back() == 19'999 &&
          values[0][1] == 39507.6 / 1000);
  }
}

void test_processes() {
  std::vector<std::string> names{"known"};
  const std::string text = "1;b;1;2;3\n1;a;1;2;3\n\nx\n1;b;1;2;3\n1;known;1\n1;;1\n1;last";
  collect_processes(text.data(), static_cast<int64_t>(text.size()), names);
  CHECK((names == std::vector<std::string>{"known", "b", "a", "last"}));
  const std::map<std::string, int32_t, std::less<>> table{{"a", 5}, {"b", 6}};
  DarkMachinesOptions options;
  options.processes = &table;
  options.skip_bad = true;
  const auto block = parse_darkmachines<float>(text.data(), 32, 99, true, options);
  CHECK(block.pieces[0].events[0].process == 6 && block.pieces[0].events[1].process == 5);
  CHECK(says("1;p,q;1;2;3", "without a comma"));
}

}  // namespace

int main() {
  test_decimals_are_nearest();
  test_decimals_at_the_limits();
  test_a_record();
  test_bad_records_say_why();
  test_bad_records_are_placed();
  test_blocks_may_end_anywhere();
  test_threads_do_not_matter();
  test_processes();
  return evtok_test::report();
}
