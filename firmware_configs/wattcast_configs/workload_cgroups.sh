#!/bin/sh
# What workloads use, for node_exporter's textfile collector, from their cgroups (v2); and the
# server's memory bandwidth, where resctrl is mounted and monitors (no collector reads that).
#
# usage: workload_cgroups.sh OUT.prom ID=CGROUP...
#   ID      the workload's id in the site file
#   CGROUP  its folder, as /sys/fs/cgroup/system.slice/shop.service
# Run it on the server as often as Wattcast polls (a systemd timer, or cron); a cgroup that is gone
# is left out.
set -eu
out=$1
shift
{
cat "${RESCTRL:-/sys/fs/resctrl}"/mon_data/mon_L3_*/mbm_total_bytes 2>/dev/null |
  awk '{ sum += $1 } END { if (NR) printf "wattcast_memory_bandwidth_bytes_total %.0f\n", sum }'
for pair in "$@"; do
  id=${pair%%=*} folder=${pair#*=}
  [ -r "$folder/cpu.stat" ] || continue
  awk -v id="$id" '$1 == "usage_usec" {
    printf "wattcast_workload_cpu_seconds_total{workload=\"%s\"} %.6f\n", id, $2 / 1e6 }' \
    "$folder/cpu.stat"
  [ ! -r "$folder/memory.current" ] ||
    echo "wattcast_workload_memory_bytes{workload=\"$id\"} $(cat "$folder/memory.current")"
  [ ! -r "$folder/io.stat" ] || awk -v id="$id" '{
    for (i = 2; i <= NF; i++) if ($i ~ /^[rw]bytes=/) { sub(/.*=/, "", $i); sum += $i } }
    END { printf "wattcast_workload_io_bytes_total{workload=\"%s\"} %.0f\n", id, sum }' \
    "$folder/io.stat"
done
} >"$out.part"
mv "$out.part" "$out"
