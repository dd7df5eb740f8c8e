# Sourced by the benchmarks: goes to the top of the module, makes the directory $work
# with the binary flowgraf in it, and at the end removes it and ends $pid.

# need PROGRAM…: ends the benchmark when one is not installed.
need() {
	for program; do
		command -v "$program" >/dev/null || {
			echo "$program is not installed: run make packages as root" >&2
			exit 1
		}
	done
}

cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	rm -rf "$work"
}

# ticks PID: the user and system time of a process, in clock ticks.
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }

# agent_section: the section [agent] of the agents that are measured.
agent_section() {
	cat <<CONF
[agent]
  interval = "${1:-10s}"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 200000
  omit_hostname = true
  quiet = true
  skip_processors_after_aggregators = true
CONF
}

# default_agent_section: the section [agent] with what Telegraf has where nothing is set.
default_agent_section() {
	cat <<CONF
[agent]
  omit_hostname = true
  quiet = true
CONF
}

# rollups: the roll-ups of the sample configuration, without their comment signs.
rollups() {
	sed -n '/^  # \[\[inputs.netflow.rollup\]\]/,/^  ## vCenter/p' plugins/inputs/netflow/sample.conf |
		sed '$d; s/^  # \{0,1\}/  /'
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
pid=
work=$(mktemp -d)
trap cleanup EXIT
go build -o "$work/flowgraf" ./cmd/flowgraf
