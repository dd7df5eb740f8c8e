package main

import (
	"strings"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
)

// dumpHelp returns what dump --help explains.
func dumpHelp() string {
	return `Dump reads files of flowgraf and of nfdump 1.6, 1.7 and 1.8 and prints as nfdump
does: the flows, a line each, or with -s a table of the elements with most flows,
packets or bytes. Its options are nfdump's.

-R takes a directory (all files of its tree), a file (it and those behind it in its
directory), or FIRST:LAST, where LAST is a name beside FIRST. With sub-directories
both have them, or they are guessed from the times in the names. -M base/a:b does
the same in base/a and base/b. What one of them lacks, and a LAST that does not
exist, are named on standard error; what is there is read. Symbolic links are
followed, and each file is read once.

Files that are being written (nfcapd.current.*) are left out of directories;
--current reads them too, up to the last block that has been written. A file that
is named with -r is read in any case.

-t takes START or START-END, as 2026/11/22.13:30:00, 2026-11-22T13:30:00 or less of it,
or +N or -N, the first or last N seconds of the files. Flows pass that overlap it; with
--within those that begin and end in it, as with nfdump.

FILTER is nfdump's filter language, that of 1.7.1, 1.7.8 and 1.8 at once: only the
flows that match it are listed, ranked or written. It may be several words. -f reads
it from a file, -Z only tells whether it is right. Beyond nfdump it knows '!=', a
network behind 'ip', 'tcp and port https', 'scaled bytes', the names of fields in
metrics (in_snmp 5), and vm, portgroup, app, user and 'if name' with a name. A filter
that is wrong ends with exit code 254.

-w writes the flows into a new file that nfdump 1.7 reads, whatever the layout of
those read; -I prints the sums that the files keep of themselves, also with -o json,
ndjson or csv, -g those of each file on a line; with -t both are of the files that may
have flows of then. -i gives a file another ident, and -J compresses files anew, where they are:
nothing else of them changes, but that files of other layouts become those of 1.7.

-s takes element[:p][/order...], as in srcip, dstport/bytes or ip:p/packets.
Elements: ` + wrap(strings.Join(query.Elements(), " "), 70) + `

-o takes one of these formats; -o help also lists the tags of fmt: and csv:
` + indent(report.FormatLines(formatsOfDump)) + `

Where nfdump's versions differ, each format is printed as the version does that does
it better (outputs/report/FORMATS.md says which); --compat 1.7.1 and 1.7.8 print what
that version prints, byte for byte.

-G names a file with the countries and AS numbers of addresses, a .mmdb in MaxMind's format
or a .csv with a first line 'prefix,country,as' or one of both. Countries are for -o gline,
glong, json, parquet and influx, the tags %sc, %dc, %gsap (in csv: as well, as in
csv:%ts,%sa,%sc,%byt), 'src geo DE' or 'country DE' in filters, and the elements and keys
srcgeo, dstgeo and geo of -s and -A. The number of an AS is that of the address wherever a
flow does not tell it, or tells 0: in what is printed, 'src as 64500' in filters, -s as and
-A srcas; files that -w writes have what the flows tell, but for keys of -A. Rows of -A
have no AS besides their keys.

Where a file has an index (flowgraf index), only the blocks are read that can hold the
addresses, ports and AS numbers that the filter asks for; what is found is the same.

-a sums flows of the same protocol, addresses and ports up into one, -A those of the
same keys: ` + wrap(strings.Join(query.AggregationKeys(), " "), 70) + `
The addresses srcip4, srcip6, dstip4 and dstip6 have a length, as in srcip4/24. -b puts
both directions of a connection into one row, -B also guesses which side is the
server. -O sorts flows or rows, -n keeps the first of them, -P those that match a
filter, and -w writes them. -s record ranks such rows. Rows and sorted flows take at
most --memory; what had no room then is told on standard error.

Files that cannot be read, or are damaged, are named on standard error; what can
be read of the others is printed, and so is what has been found when Ctrl-C ends it.

Exit codes: 0 done, also when nothing matches; 254 the filter is wrong; 1 everything
else, damaged and refused files too. They are nfdump 1.7's, which says 0 of a file that
it refuses, and 255 of a damaged one; nfdump 1.8 has 1 for filters too.`
}

// dumpExamples are those of dump --help.
const dumpExamples = `  flowgraf dump -r nfcapd.202611221200
  flowgraf dump -R /var/lib/flowgraf/flows -s srcip/bytes -n 5
  flowgraf dump -R /var/lib/flowgraf/flows 'proto tcp and dst port in [80 443] and bytes > 1m'
  flowgraf dump -r nfcapd.202611221200 -s dstip/bytes 'src net 192.0.2.0/24'
  flowgraf dump -R flows/nfcapd.202611221200:nfcapd.202611221255 -t 2026/11/22.12:30
  flowgraf dump -M /var/lib/flowgraf/flows/rtr1:rtr2 -R . -I
  flowgraf dump -R /var/lib/flowgraf/flows --current -c 20
  flowgraf dump -R old -w nfcapd.202611220000 -z zstd
  flowgraf dump -R /var/lib/flowgraf/flows -s dstport -s proto -n 20
  flowgraf dump -R /var/lib/flowgraf/flows -A srcip4/24,dstport -O bytes -n 20
  flowgraf dump -r nfcapd.202611221200 -b -P 'bytes > 100m'
  flowgraf dump -r nfcapd.202611221200 -O duration -n 5`
