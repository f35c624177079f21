#include "evtok/darkmachines.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "evtok/decimal.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t piece_size = 256 * 1024;  // bytes of text that one thread takes at a time

/// A short copy of the text at p, up to the next separator, that is safe to print.
std::string excerpt(const char* p, const char* end) {
  constexpr ptrdiff_t limit = 40;
  if (p == end) return "the end of the line";
  const char* const cut = end - p > limit ? p + limit : end;
  const char* const stop = std::find_if(p + 1, cut, [](char c) { return c == ',' || c == ';'; });
  std::string text = "'";
  for (const char* c = p; c != stop; ++c) {
    constexpr char hex[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(*c);
    if (byte < 0x20 || byte >= 0x7f || byte == '\\' || byte == '\'')
      text += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    else
      text += *c;
  }
  return text + "'" + (stop == cut && stop != end ? "..." : "");
}

/// Where a number stands, for messages.
struct Place {
  const char* name;
  bool in_object;
};
constexpr Place weight_place{"field 3 (weight)", false}, met_place{"field 4 (MET)", false},
    met_phi_place{"field 5 (METphi)", false}, energy_place{"E", true}, pt_place{"pt", true},
    eta_place{"eta", true}, phi_place{"phi", true};
constexpr double unscaled = 1;

/// Reads records, one at a time, into a piece.
template <class Real> class RecordParser {
public:
  RecordParser(const DarkMachinesOptions& options, DarkMachinesPiece<Real>& piece)
      : options_(options), piece_(piece) {}

  /// Reads the record [begin, end), without its line end. When it is bad, the piece keeps its events and
  /// reason() says why.
  bool parse(const char* begin, const char* end) {
    p_ = begin;
    end_ = end;
    first_object_ = piece_.objects.size();
    if (end - begin > max_darkmachines_line) {
      reason_ = "expected a line of at most " + std::to_string(max_darkmachines_line) + " bytes, got " +
                std::to_string(end - begin);
      return false;
    }
    DarkMachinesEvent<Real> event;
    if (!read_header(event) || !read_objects()) {
      piece_.objects.resize(first_object_);
      return false;
    }
    event.objects = static_cast<int64_t>(piece_.objects.size());
    piece_.events.push_back(event);
    return true;
  }

  const std::string& reason() const { return reason_; }

private:
  bool read_header(DarkMachinesEvent<Real>& event) {
    return read_id(event.id) && separator("field 2 (process)") && read_process(event.process) &&
           separator("field 3 (weight)") && read_number(weight_place, unscaled, event.weight) &&
           separator("field 4 (MET)") && read_number(met_place, options_.energy_divisor, event.met) &&
           separator("field 5 (METphi)") && read_number(met_phi_place, unscaled, event.met_phi) &&
           end_of_field("field 5 (METphi)");
  }

  bool read_objects() {
    DarkMachinesObject<Real> object;
    while (p_ != end_) {
      if (!read_type(object.type) || !read_number(energy_place, options_.energy_divisor, object.energy) ||
          !comma(pt_place) || !read_number(pt_place, options_.energy_divisor, object.pt) ||
          !comma(eta_place) || !read_number(eta_place, unscaled, object.eta) || !comma(phi_place) ||
          !read_number(phi_place, unscaled, object.phi) || !end_of_object())
        return false;
      piece_.objects.push_back(object);
    }
    return true;
  }

  bool read_id(int64_t& id) {
    const auto read = std::from_chars(p_, end_, id);
    if (read.ec != std::errc()) return fail("field 1 (event id): expected an integer of 64 bits");
    p_ = read.ptr;
    return true;
  }

  bool read_process(int32_t& code) {
    const char* const stop = std::find(p_, end_, ';');
    const std::string_view name(p_, static_cast<size_t>(stop - p_));
    if (!is_process_name(name))
      return fail("field 2 (process): expected 1 to 256 printable ASCII characters without a comma");
    if (options_.processes != nullptr && name != last_process_) {  // names come in long runs
      const auto found = options_.processes->find(name);
      if (found == options_.processes->end())
        return fail("field 2 (process): expected one of the names given");
      last_process_ = name;
      last_code_ = found->second;
    }
    code = last_code_;
    p_ = stop;
    return true;
  }

  /// Reads a type and its comma; of a photon the comma may be missing.
  bool read_type(uint8_t& code) {
    const auto at = [&](ptrdiff_t i) { return end_ - p_ > i ? p_[i] : '\0'; };
    const char first = at(0);
    const ptrdiff_t length = first == 'm' && at(1) == 'u' ? 3 : first == 'm' || first == 'e' ? 2 : 1;
    const char sign = at(length - 1), next = at(length);
    size_t type = darkmachines_types.size();
    if (first == 'j') type = 0;
    if (first == 'b') type = 1;
    if (first == 'e' && (sign == '-' || sign == '+')) type = sign == '-' ? 2 : 3;
    if (first == 'm' && (sign == '-' || sign == '+')) type = sign == '-' ? 4 : 5;
    if (first == 'g' || first == 'a') type = 6;
    const bool without_comma = type == 6 && next >= '0' && next <= '9';
    if (type == darkmachines_types.size() || (next != ',' && !without_comma))
      return fail(where() + "expected a type (j b e- e+ m- m+ g) and a comma");
    code = options_.codes[type];
    if (code == no_code) return fail(where() + "expected one of the types of the schema");
    p_ += without_comma ? length : length + 1;
    return true;
  }

  /// Reads a number to the nearest float64, scales it there, and rounds it once.
  template <class Out> bool read_number(Place place, double divisor, Out& out) {
    const Decimal number = read_decimal(p_, end_);
    out = static_cast<Out>(number.value / divisor);
    if (number.fault == DecimalFault::none && std::isfinite(out)) {
      p_ = number.end;
      return true;
    }
    const std::string name = (place.in_object ? where() : "") + place.name;
    if (number.fault == DecimalFault::malformed)
      return fail(name + ": expected a decimal number such as 1.06946e+06");
    if (number.fault == DecimalFault::too_long)
      return fail(name + ": expected a number of at most " + std::to_string(max_decimal_length) +
                  " characters");
    return fail(name + ": expected a number within the range of float" + std::to_string(8 * sizeof(Out)));
  }

  /// Steps over the `;` before a field of the header.
  bool separator(const char* next) {
    if (p_ == end_) return fail(std::string("too few fields: expected ';' and ") + next);
    if (*p_ != ';') return fail(std::string("before ") + next + ": expected ';'" + hint());
    ++p_;
    return true;
  }

  /// Steps over the `,` before a value of an object.
  bool comma(Place next) {
    if (p_ == end_ || *p_ == ';') return fail(where() + "too few values: expected ',' and " + next.name);
    if (*p_ != ',') return fail(where() + "before " + next.name + ": expected ','");
    ++p_;
    return true;
  }

  /// Steps over the `;` behind a field, which may be missing at the end of the record.
  bool end_of_field(const char* name) {
    if (p_ == end_) return true;
    if (*p_ != ';')
      return fail(std::string("after ") + name + ": expected ';' or the end of the line" + hint());
    ++p_;
    return true;
  }

  bool end_of_object() {
    if (p_ != end_ && *p_ == ',')
      return fail(where() + "too many values: expected ';' after E,pt,eta,phi" + hint());
    return end_of_field("phi");
  }

  /// What a comma in the place of a semicolon may mean.
  const char* hint() const { return *p_ == ',' ? " (decimals take a point, not a comma)" : ""; }

  /// Names the object that is being read.
  std::string where() const {
    return "object " + std::to_string(piece_.objects.size() - first_object_ + 1) + ": ";
  }

  bool fail(const std::string& expected) {
    reason_ = expected + ", got " + excerpt(p_, end_);
    return false;
  }

  const DarkMachinesOptions& options_;
  DarkMachinesPiece<Real>& piece_;
  const char *p_ = nullptr, *end_ = nullptr;
  size_t first_object_ = 0;
  std::string_view last_process_;
  int32_t last_code_ = -1;
  std::string reason_;
};

/// Parses whole lines [begin, end); the last one may lack its line end. Positions in `bad` count from
/// `begin`.
template <class Real>
void parse_piece(const char* begin, const char* end, const DarkMachinesOptions& options,
                 DarkMachinesPiece<Real>& piece) {
  RecordParser<Real> parser(options, piece);
  piece.objects.reserve(static_cast<size_t>((end - begin) / 32));
  piece.events.reserve(static_cast<size_t>((end - begin) / 128));
  for (const char* line = begin; line != end; ++piece.lines) {
    const Line found = next_line(line, end);
    if (found.end != line) {
      const bool good = parser.parse(line, found.end);
      if (!good)
        piece.bad.push_back({piece.lines, piece.records, line - begin, found.end - begin, parser.reason()});
      if (!good && !options.skip_bad) return;
      ++piece.records;
    }
    line = found.next;
  }
}

}  // namespace

template <class Real>
DarkMachinesBlock<Real> parse_darkmachines(const char* text, int64_t size, int64_t max_records, bool last,
                                           const DarkMachinesOptions& options) {
  DarkMachinesBlock<Real> block;
  const RecordScan scan = scan_records(text, size, max_records, OpenLine::empty);
  block.used = last && scan.records < max_records ? size : scan.used;

  std::vector<int64_t> borders{
      0};  // pieces begin at the start of a line, at the same places for any number of threads
  while (borders.back() < block.used) {
    const int64_t wanted = std::min(borders.back() + piece_size, block.used);
    borders.push_back(next_line(text + wanted - 1, text + block.used).next - text);
  }
  const auto n_pieces = static_cast<int64_t>(borders.size()) - 1;
  block.pieces.resize(static_cast<size_t>(n_pieces));
  parallel_for(n_pieces, 1, options.threads, [&](int64_t first, int64_t stop) {
    const FloatEnvironment environment;
    for (int64_t i = first; i < stop; ++i) {
      const auto k = static_cast<size_t>(i);
      parse_piece(text + borders[k], text + borders[k + 1], options, block.pieces[k]);
    }
  });

  for (size_t k = 0; k < block.pieces.size(); ++k) {
    DarkMachinesPiece<Real>& piece = block.pieces[k];
    for (BadRecord& bad : piece.bad)
      block.bad.push_back({bad.line + block.lines, bad.record + block.records, bad.begin + borders[k],
                           bad.end + borders[k], std::move(bad.reason)});
    block.events += static_cast<int64_t>(piece.events.size());
    block.objects += static_cast<int64_t>(piece.objects.size());
    block.records += piece.records;
    block.lines += piece.lines;
  }
  return block;
}

template <class Real> void DarkMachinesBlock<Real>::copy_to(const DarkMachinesColumns<Real>& to) const {
  int64_t event = 0, object = 0;
  to.offsets[0] = 0;
  for (const DarkMachinesPiece<Real>& piece : pieces) {
    const int64_t objects_before = object;
    for (const DarkMachinesEvent<Real>& e : piece.events) {
      to.event[event] = e.id;
      to.process[event] = e.process;
      to.weight[event] = e.weight;
      to.met[event] = e.met;
      to.met_phi[event] = e.met_phi;
      to.offsets[++event] = objects_before + e.objects;
    }
    for (const DarkMachinesObject<Real>& o : piece.objects) {
      to.type[object] = o.type;
      to.energy[object] = o.energy;
      to.pt[object] = o.pt;
      to.eta[object] = o.eta;
      to.phi[object++] = o.phi;
    }
  }
}

template struct DarkMachinesBlock<float>;
template struct DarkMachinesBlock<double>;
template DarkMachinesBlock<float> parse_darkmachines<float>(const char*, int64_t, int64_t, bool,
                                                            const DarkMachinesOptions&);
template DarkMachinesBlock<double> parse_darkmachines<double>(const char*, int64_t, int64_t, bool,
                                                              const DarkMachinesOptions&);

}  // namespace evtok
