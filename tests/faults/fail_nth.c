// A shim for LD_PRELOAD: the Nth call of one kind, on files below one folder, fails as the system would let it fail, is
// cut short, or kills the process. Counts the calls, so that a campaign knows how many there are to fail.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum Kind { OPEN, WRITE, FSYNC, CLOSE, RENAME, UNLINK, MKDIR, KINDS };
enum Action { FAIL, SHORT, KILL_BEFORE, KILL_AFTER };

static char folder[PATH_MAX];
static size_t folder_length;
static int armed_kind = -1, armed_action, armed_errno;
static long armed_number;
static atomic_long counts[KINDS];
static atomic_int hit;

// Calls below `path` are counted from now on, and call `number` (from 1) of `kind` suffers `action`; 0 only counts.
void fail_nth_arm(const char* path, int kind, long number, int action, int code) {
  for (int k = 0; k < KINDS; ++k) counts[k] = 0;
  hit = 0;
  armed_kind = kind, armed_number = number, armed_action = action, armed_errno = code;
  snprintf(folder, sizeof folder, "%s", path);
  folder_length = strlen(folder);
}
void fail_nth_disarm(void) { folder_length = 0; }
long fail_nth_count(int kind) { return counts[kind]; }
int fail_nth_hit(void) { return hit; }

static int below_path(const char* path) { return folder_length && !strncmp(path, folder, folder_length); }

static int below_fd(int fd) {
  if (!folder_length) return 0;
  char link[64], target[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, target, sizeof target - 1);
  if (n <= 0) return 0;
  target[n] = 0;
  return below_path(target);
}

static int below_at(int fd, const char* path) {
  if (path[0] == '/') return below_path(path);
  return fd != AT_FDCWD && below_fd(fd);
}

// Whether this call is the one; kills here if that is what was asked for.
static int is_it(int kind) {
  if (atomic_fetch_add(&counts[kind], 1) + 1 != armed_number || kind != armed_kind) return 0;
  hit = 1;
  if (armed_action == KILL_BEFORE) raise(SIGKILL);
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define GUARDED(kind, is_below, call)                            \
  do {                                                           \
    if (!(is_below) || !is_it(kind)) return call;                \
    if (armed_action == FAIL) return errno = armed_errno, -1;    \
    __typeof__(call) result = call;                              \
    if (armed_action == KILL_AFTER) raise(SIGKILL);              \
    return result;                                               \
  } while (0)

ssize_t write(int fd, const void* data, size_t size) {
  const int ours = folder_length && below_fd(fd) && is_it(WRITE);
  if (ours && armed_action == FAIL) return errno = armed_errno, -1;
  if (ours && armed_action == SHORT && size > 1) size /= 2;
  const ssize_t taken = REAL(write)(fd, data, size);
  if (ours && armed_action == KILL_AFTER) raise(SIGKILL);
  return taken;
}
int fsync(int fd) { GUARDED(FSYNC, below_fd(fd), REAL(fsync)(fd)); }
int close(int fd) {
  const int ours = folder_length && below_fd(fd) && is_it(CLOSE);
  const int result = REAL(close)(fd);  // Linux closes the descriptor whatever it reports
  if (ours && armed_action == KILL_AFTER) raise(SIGKILL);
  return ours && armed_action == FAIL ? (errno = armed_errno, -1) : result;
}
int rename(const char* from, const char* to) { GUARDED(RENAME, below_path(to), REAL(rename)(from, to)); }
int renameat(int a, const char* from, int b, const char* to) {
  GUARDED(RENAME, below_at(b, to), REAL(renameat)(a, from, b, to));
}
int unlink(const char* path) { GUARDED(UNLINK, below_path(path), REAL(unlink)(path)); }
int unlinkat(int fd, const char* path, int flags) {
  GUARDED(UNLINK, below_at(fd, path), REAL(unlinkat)(fd, path, flags));
}
int mkdir(const char* path, mode_t mode) { GUARDED(MKDIR, below_path(path), REAL(mkdir)(path, mode)); }
int mkdirat(int fd, const char* path, mode_t mode) {
  GUARDED(MKDIR, below_at(fd, path), REAL(mkdirat)(fd, path, mode));
}

// Only files that are made or written count as opened: reading has faults of its own.
#define MODE(flags)                                     \
  mode_t mode = 0;                                      \
  if ((flags) & O_CREAT) {                              \
    va_list rest;                                       \
    va_start(rest, flags);                              \
    mode = va_arg(rest, mode_t);                        \
    va_end(rest);                                       \
  }
#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY)
int open(const char* path, int flags, ...) {
  MODE(flags)
  GUARDED(OPEN, WRITES(flags) && below_path(path), REAL(open)(path, flags, mode));
}
int open64(const char* path, int flags, ...) {
  MODE(flags)
  GUARDED(OPEN, WRITES(flags) && below_path(path), REAL(open64)(path, flags, mode));
}
int openat(int fd, const char* path, int flags, ...) {
  MODE(flags)
  GUARDED(OPEN, WRITES(flags) && below_at(fd, path), REAL(openat)(fd, path, flags, mode));
}
int openat64(int fd, const char* path, int flags, ...) {
  MODE(flags)
  GUARDED(OPEN, WRITES(flags) && below_at(fd, path), REAL(openat64)(fd, path, flags, mode));
}
