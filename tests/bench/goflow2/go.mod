module github.com/flowgraf/flowgraf/tests/bench/goflow2

go 1.26.0

require (
	github.com/flowgraf/flowgraf v0.0.0
	github.com/netsampler/goflow2/v2 v2.2.6
)

require golang.org/x/sys v0.49.0 // indirect

replace github.com/flowgraf/flowgraf => ../../..
