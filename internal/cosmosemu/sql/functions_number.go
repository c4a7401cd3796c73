package sql

import "math"

// Results that JSON cannot hold are undefined: SQRT(-1), LOG(0).
var numberFunctions = []function{
	numeric("ABS", math.Abs),
	numeric("CEILING", math.Ceil),
	numeric("FLOOR", math.Floor),
	withDefault(of2("ROUND", round), 0.0),
	numeric("TRUNC", math.Trunc),
	numeric("SIGN", func(n float64) float64 {
		switch {
		case n > 0:
			return 1
		case n < 0:
			return -1
		default:
			return 0
		}
	}),
	numeric("SQRT", math.Sqrt),
	numeric("SQUARE", func(n float64) float64 { return n * n }),
	numeric("EXP", math.Exp),
	numeric("LOG10", math.Log10),
	withDefault(of2("LOG", func(n, base float64) any { return number(math.Log(n) / math.Log(base)) }), math.E),
	of2("POWER", func(base, exponent float64) any { return number(math.Pow(base, exponent)) }),
	{name: "PI", call: func(*row, []any) any { return math.Pi }},
}

func numeric(name string, f func(float64) float64) function {
	return of1(name, func(n float64) any { return number(f(n)) })
}

// round rounds halves away from zero. The second argument is how many digits to
// keep behind the point.
func round(n, digits float64) any {
	if !whole(digits) || math.Abs(digits) > 15 {
		return Undefined{}
	}
	if digits == 0 {
		return number(math.Round(n))
	}
	factor := math.Pow(10, digits)
	return number(math.Round(n*factor) / factor)
}

func whole(n float64) bool { return n == math.Trunc(n) }
