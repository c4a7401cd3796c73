//go:build !race

package system_test

const everyWrite = 1
