package cosmosemu

import (
	"net/http"

	"opfeed/internal/epk"
)

// keyRange is what of the key space a read is about, by its headers: a
// partition key, perhaps only its first levels; a partition key range; a part
// of that, or of all, by x-ms-start-epk and x-ms-end-epk. A partition key
// with a range means that key if it is there.
//
// Effective partition keys outside the range named beside them are refused like
// a range that is gone, so that clients look for the ranges anew. Whether the
// service does the same is not verified.
func (x *exchange) keyRange(c *container, routes *routing, key partitionKey) (low, high string, err error) {
	id := x.header("x-ms-documentdb-partitionkeyrangeid")
	if id == "" && len(key) > 0 {
		low = c.definition.Load().epk(key)
		return low, low + epk.Max, nil
	}
	low, high = epk.Min, epk.Max
	if id != "" {
		p, err := routes.byID(id)
		if err != nil {
			return "", "", err
		}
		low, high = p.min, p.max
	}
	from, to := x.header("x-ms-start-epk"), x.header("x-ms-end-epk")
	if c.account.noEPK || len(key) > 0 || from == "" && to == "" {
		return low, high, nil
	}
	if from == "" {
		from = low
	}
	if to == "" {
		to = high
	}
	for _, bound := range []string{from, to} {
		if _, ok := parseKey(bound); !ok {
			return "", "", refuse(http.StatusBadRequest, "%.100q is not an effective partition key: upper-case hex digits, in pairs", bound)
		}
	}
	if epk.Compare(from, to) >= 0 {
		return "", "", refuse(http.StatusBadRequest, "the range of effective partition keys [%.100q, %.100q) is empty", from, to)
	}
	if epk.Compare(from, low) < 0 || epk.Compare(high, to) < 0 {
		return "", "", outsideRange(from, to)
	}
	return from, to, nil
}

// outsideRange refuses keys that are not all in the range named, or in one.
func outsideRange(low, high string) error {
	return refuse(http.StatusGone, "the effective partition keys [%.100q, %.100q) are not all in one partition key range, the one named",
		low, high).because(substatusRangeGone)
}
