// Text of the Dark Machines Anomaly Score Challenge, parsed into ragged columns.
//
// One record a line: eventID;processID;weight;MET;METphi;type,E,pt,eta,phi;type,E,pt,eta,phi;... with
// energies in MeV. A record may end with `;`, a line with \n or \r\n, the text without either; empty lines
// are skipped and counted. Types are j b e- e+ m- m+ g, with the spellings mu- mu+ (muons) and a (photon); a
// photon may lack the comma after its type (g51004.9,...). Everything else is a bad record with a reason,
// never a guess.
//
// Numbers are read to the nearest float64; energies are divided by 1000 (GeV) in float64; columns are rounded
// once.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace evtok {

/// A line longer than this is refused, so that a text without line ends cannot ask for unbounded memory.
inline constexpr int64_t max_darkmachines_line = int64_t{1} << 20;

/// Object types in the order of DarkMachinesOptions::codes.
inline constexpr std::array<const char*, 7> darkmachines_types = {"j", "b", "e-", "e+", "m-", "m+", "g"};

/// The code of a type that the caller's table does not name.
inline constexpr uint8_t no_code = 255;

// ---- finding records

struct Line {
  const char* end;   // of the content, before \n, \r\n or the end of the text
  const char* next;  // start of the next line, or the end of the text
};

/// The line that starts at `begin`, in text that ends at `end`; begin < end.
inline Line next_line(const char* begin, const char* end) {
  const auto* const found =
      static_cast<const char*>(std::memchr(begin, '\n', static_cast<size_t>(end - begin)));
  const char* stop = found == nullptr ? end : found;
  const char* const next = found == nullptr ? end : found + 1;
  if (stop != begin && stop[-1] == '\r') --stop;
  return {stop, next};
}

/// What the line that is still open at the end of a block holds so far.
enum class OpenLine : int32_t { empty = 0, carriage_return = 1, content = 2 };

struct RecordScan {
  int64_t records;  // non-empty lines that ended in this block
  int64_t lines;    // lines that ended in this block, empty ones too
  int64_t used;     // bytes up to the end of the last of these lines
  OpenLine open;    // state at the end of the block; meaningless when `limit` stopped the scan
};

/// Counts records in text (size,), borrowed, a block of a file that may begin and end anywhere; stops behind
/// the line end of record number `limit`. `open` is what the previous block left. At the end of the file, a
/// line that is open with content is one more record.
RecordScan scan_records(const char* text, int64_t size, int64_t limit, OpenLine open);

/// Adds the names of processes (second fields) that are new to `names`, in order of first appearance. Text
/// (size,) is borrowed and holds whole lines; one without a name of a process is passed over, the parser will
/// refuse it.
void collect_processes(const char* text, int64_t size, std::vector<std::string>& names);

// ---- parsing records

/// Whether a process may be called so: 1 to 256 printable ASCII characters without a comma.
bool is_process_name(std::string_view name);

/// A record that could not be read. Line and record count from 0 at the start of the block.
struct BadRecord {
  int64_t line, record, begin, end;  // bytes [begin, end) of the block, without the line end
  std::string reason;                // what was expected and what came; ASCII
};

struct DarkMachinesOptions {
  std::array<uint8_t, 7> codes{0, 1, 2, 3, 4, 5, 6};  // of darkmachines_types, or no_code
  const std::map<std::string, int32_t, std::less<>>*
      processes{};               // borrowed; codes of process names, if wanted
  double energy_divisor = 1000;  // energies of the text in one GeV
  bool skip_bad = false;         // false: stop at the first bad record
  int threads = 1;
};

template <class Real> struct DarkMachinesEvent {
  int64_t id;
  double weight;
  Real met, met_phi;
  int32_t process;  // -1 where no names were given
  int64_t objects;  // number of objects of all events of this piece up to and with this one
};

template <class Real> struct DarkMachinesObject {
  Real energy, pt, eta, phi;
  uint8_t type;
};

/// A run of whole lines, parsed by one thread.
template <class Real> struct DarkMachinesPiece {
  std::vector<DarkMachinesEvent<Real>> events;
  std::vector<DarkMachinesObject<Real>> objects;
  std::vector<BadRecord> bad;
  int64_t records = 0, lines = 0;
};

/// The destination of a block: every pointer is borrowed; (n) is per event, (m) per object, energies in GeV.
template <class Real> struct DarkMachinesColumns {
  int64_t* offsets;  // (n + 1)
  uint8_t* type;     // (m)
  Real *energy, *pt, *eta, *phi;
  int64_t* event;  // (n) the first field of the record
  int32_t* process;
  double* weight;
  Real *met, *met_phi;
};

template <class Real> struct DarkMachinesBlock {
  std::vector<DarkMachinesPiece<Real>> pieces;  // in the order of the text
  std::vector<BadRecord> bad;  // in the order of the text, counted from the start of the block
  int64_t events = 0, objects = 0;
  int64_t records = 0, lines = 0, used = 0;  // consumed: records with the bad ones, lines, bytes

  void copy_to(const DarkMachinesColumns<Real>& columns) const;
};

/// Parses at most `max_records` records of text (size,), borrowed. Only whole lines are consumed; with
/// `last`, what follows the last line end is a line too. The result does not depend on the number of threads.
template <class Real>
DarkMachinesBlock<Real> parse_darkmachines(const char* text, int64_t size, int64_t max_records, bool last,
                                           const DarkMachinesOptions& options);

}  // namespace evtok
