// The quota of CPUs, read from made-up trees of control groups.
#include "evtok/cpu_quota.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "check.hpp"

namespace {

using evtok::quota_cpus;

struct File {
  std::string path, text;
};

// quota_cpus of a root that holds these files.
int quota_of(const std::vector<File>& files) {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("evtok-quota-" + std::to_string(getpid()));
  fs::create_directories(root);
  for (const File& file : files) {
    fs::create_directories((root / file.path).parent_path());
    std::ofstream(root / file.path) << file.text;
  }
  const int quota = quota_cpus(root.string());
  fs::remove_all(root);
  return quota;
}

const std::string groups = "sys/fs/cgroup/";

File own(const std::string& text) {
  return {"proc/self/cgroup", text};
}

void test_none() {
  CHECK(quota_of({}) == 0);
  CHECK(quota_of({own("0::/a/b\n"), {groups + "a/b/cpu.max", "max 100000\n"}}) == 0);
  CHECK(quota_of({own("nonsense\n::\n0::\n0:\n:\n0::relative\n")}) == 0);
  CHECK(quota_of({own("0::/a\n"), {groups + "a/cpu.max", "what 0\n"}}) == 0);
}

// Slurm and systemd set the quota on a group far below the root, Kubernetes on one above the process's.
void test_version_2() {
  CHECK(quota_of({own("0::/a/b/c\n"), {groups + "a/b/c/cpu.max", "300000 100000\n"}}) == 3);
  CHECK(quota_of({own("0::/a/b/c\n"), {groups + "a/cpu.max", "250000 100000\n"}}) == 3);  // rounded up
  CHECK(quota_of({own("0::/a/b\n"),
                  {groups + "a/b/cpu.max", "400000 100000\n"},
                  {groups + "a/cpu.max", "200000 100000\n"}}) == 2);
  CHECK(quota_of({own("0::/a/b\n"),
                  {groups + "a/b/cpu.max", "100000 100000\n"},
                  {groups + "a/cpu.max", "max 100000\n"}}) == 1);
  CHECK(quota_of({own("0::/a\n"), {groups + "a/cpu.max", "1000 100000\n"}}) == 1);        // at least one
  CHECK(quota_of({own("0::/a\n"), {groups + "other/cpu.max", "100000 100000\n"}}) == 0);  // not ours
}

// A container sees its own group as the root, and may still be told the path of the host.
void test_containers() {
  CHECK(quota_of({own("0::/\n"), {groups + "cpu.max", "500000 100000\n"}}) == 5);
  CHECK(quota_of({own("0::/docker/123\n"), {groups + "cpu.max", "500000 100000\n"}}) == 5);
  CHECK(quota_of({own("0::/../../pod\n"), {groups + "cpu.max", "500000 100000\n"}}) == 5);
  CHECK(quota_of({{groups + "cpu.max", "500000 100000\n"}}) == 5);  // no /proc
}

void test_version_1() {
  const auto quota = [](const std::string& folder, const std::string& us) {
    return std::vector<File>{own("5:memory:/x\n4:cpu,cpuacct:/a/b\n3:cpuset:/y\n"),
                             {groups + folder + "/cpu.cfs_quota_us", us},
                             {groups + folder + "/cpu.cfs_period_us", "100000\n"}};
  };
  CHECK(quota_of(quota("cpu/a/b", "200000\n")) == 2);
  CHECK(quota_of(quota("cpu,cpuacct/a/b", "200000\n")) == 2);
  CHECK(quota_of(quota("cpu/a", "300000\n")) == 3);
  CHECK(quota_of(quota("cpu", "300000\n")) == 3);
  CHECK(quota_of(quota("cpu/a/b", "-1\n")) == 0);
  CHECK(quota_of(quota("cpu/x", "300000\n")) == 0);
  CHECK(quota_of(quota("cpuset/y", "300000\n")) == 0);
}

}  // namespace

int main() {
  test_none();
  test_version_2();
  test_containers();
  test_version_1();
  return evtok_test::report();
}
