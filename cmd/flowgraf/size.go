package main

import (
	"fmt"
	"math"
)

// sizeOf writes octets for people, in powers of 1000: "94.9 GB".
func sizeOf(octets float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	i := 0
	for ; i < len(units)-1 && math.Round(octets*10)/10 >= 1000; i++ {
		octets /= 1000
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", octets)
	}
	return fmt.Sprintf("%.1f %s", octets, units[i])
}
