//go:build !race

package simulation_test

import "time"

const (
	fewSeeds   = 4
	fewMinutes = 10 * time.Minute
)
