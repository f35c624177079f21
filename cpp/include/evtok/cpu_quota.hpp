// CPUs that the control groups of this process pay for.
#pragma once

#include <string>

namespace evtok {

/// The smallest quota of this process's own cgroup and of those above it, in CPUs rounded up, at least 1; 0
/// when there is none. Reads ROOT/proc/self/cgroup and the files below ROOT/sys/fs/cgroup; `root` is "" but
/// in tests. Both versions of cgroups count: cpu.max of version 2, cpu.cfs_quota_us of version 1.
int quota_cpus(const std::string& root);

}  // namespace evtok
