// Package sql reads, evaluates and plans queries in Cosmos DB's language, for the
// emulator. It knows nothing of containers or paging.
//
// # Known
//
//   - SELECT [DISTINCT] [TOP n] * | VALUE expr | expr [[AS] name], …; FROM name
//     [[AS] alias], or no FROM at all; WHERE; ORDER BY one or several paths, each
//     ASC or DESC; OFFSET n LIMIT m; n and m may be parameters; comments after --
//   - by binding power, loosest first: ?: and ??, OR, AND, the comparisons = != <>
//     < <= > >= [NOT] IN, BETWEEN and LIKE with ESCAPE, | ^ &, ||, << >> >>>, + and
//     -, / and * and %, and NOT - + ~ before an operand
//   - literals, parameters, paths (c.a["b c"][0]), [arrays], {objects}
//   - the functions of the functions*.go files, by name without case and "_"
//   - COUNT, SUM, AVG, MIN and MAX in SELECT, also inside of expressions
//
// # Refused
//
// With an Error that names it: JOIN, FROM with a path or IN, subqueries (also in
// EXISTS and ARRAY), GROUP BY, user defined functions, ORDER BY anything but a
// path, aggregates beside other paths or with ORDER BY, TOP or OFFSET LIMIT,
// functions of other kinds (vectors, geography, arithmetic with dates). So are NOT
// before an unparenthesised comparison, and a bitwise operator beside one, because
// readers and the service may disagree on what they mean.
//
// # Values
//
// Evaluation has Cosmos DB's third value: a missing property is Undefined, and so
// is what is computed from it or from a value of a wrong type. A row is selected
// only by true. = is strict in type; < and the like between two types are
// undefined; numbers are float64.
//
// # Not verified against the service
//
// The texts and codes of errors; binding powers of ?:, ?? and the bitwise
// operators; what LIKE makes of an unclosed bracket; lengths in characters rather
// than UTF-16 units; SUM of nothing, which is 0 here; ORDER BY several paths for
// items that lack one, and the order of what is equal in all; how TOSTRING writes
// very large and small numbers; the letter of rewritten queries. Full text search
// knows no stemming and no stop words, and RegexMatch only what Go's regexp knows.
//
// # Bounds
//
// A query has at most 512 KB, 200 levels of nesting, 50,000 operators and 6,000
// values after IN. A text that would become larger than 2 MB is undefined, and so
// is a search for a pattern or phrase of more than 1,000 bytes. The size of a
// selected row has no bound.
package sql
