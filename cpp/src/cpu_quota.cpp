#include "evtok/cpu_quota.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

namespace evtok {
namespace {

// The quota in CPUs that a group's folder states, or 0.
double quota_of(const std::string& folder) {
  double quota = 0, period = 0;
  std::string first;
  if (std::ifstream v2(folder + "/cpu.max"); v2 >> first >> period) {
    quota = std::strtod(first.c_str(), nullptr);  // "max" is 0
  } else {
    std::ifstream q(folder + "/cpu.cfs_quota_us"), p(folder + "/cpu.cfs_period_us");
    if (!(q >> quota) || !(p >> period)) return 0;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

// The smallest quota of the group at `path`, which begins with a slash, and of those above it. In a container
// the path can be that of the host: then the folders are missing until the walk reaches the container's root.
double smallest_quota(const std::string& hierarchy, std::string path) {
  double smallest = 0;
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    const double quota = quota_of(hierarchy + path);
    if (quota > 0) smallest = smallest > 0 ? std::min(smallest, quota) : quota;
    if (path.empty()) return smallest;
    path.erase(path.rfind('/'));
  }
}

bool names_cpu(const std::string& controllers) {
  return ("," + controllers + ",").find(",cpu,") != std::string::npos;
}

}  // namespace

int quota_cpus(const std::string& root) {
  const std::string groups = root + "/sys/fs/cgroup";
  double smallest = 0;
  const auto look = [&](const std::string& hierarchy, const std::string& path) {
    const double quota = smallest_quota(hierarchy, path);
    if (quota > 0) smallest = smallest > 0 ? std::min(smallest, quota) : quota;
  };
  std::ifstream own(root + "/proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {  // "0::/path" or "4:cpu,cpuacct:/path"
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || second + 1 >= line.size() || line[second + 1] != '/') continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(second + 1);
    if (path.find("/..") != std::string::npos) continue;  // outside of what this namespace shows
    if (controllers.empty()) look(groups, path);
    if (!names_cpu(controllers)) continue;
    look(groups + "/cpu", path);
    look(groups + "/" + controllers, path);
  }
  look(groups, "/");
  look(groups + "/cpu", "/");
  return smallest > 0 ? static_cast<int>(std::min(std::ceil(smallest), 1e9)) : 0;
}

}  // namespace evtok
