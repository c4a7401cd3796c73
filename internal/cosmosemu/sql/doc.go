// Package sql reads and evaluates the part of Cosmos DB's query language that
// opfeed and its tests need. It knows nothing of containers or paging.
//
// Known: SELECT * | VALUE expr | expr [AS name], …; TOP; FROM with an alias;
// WHERE with AND, OR, NOT, = != <> < <= > >=, IN, BETWEEN, ||, + - * / %;
// literals, arrays, objects, parameters, paths; the functions of functions.go;
// COUNT as the only selected expression; ORDER BY one path; OFFSET … LIMIT ….
//
// Everything else is refused with an Error that names it: JOIN, subqueries,
// GROUP BY, DISTINCT, LIKE, other aggregates, ?? and ?:, bitwise operators,
// unknown functions. So is NOT before an unparenthesised comparison, because
// readers and the service disagree on what it means.
//
// Evaluation has Cosmos DB's third value: a missing property is Undefined, and
// so is whatever is computed from it. A row is selected only by true.
package sql
