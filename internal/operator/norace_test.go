//go:build !race

package operator_test

const many = 10_000
