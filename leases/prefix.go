package leases

import (
	"fmt"
	"strings"
)

// forbidden may not be in a processor's name: ' would end the literal in the
// query of .NET's readers, the others are not allowed in the id of an item.
const forbidden = `'/\?#`

// Prefix gives the prefix of all documents of one processor on one container, as
// .NET builds it: no separator between name and host, the host lower-case and
// without a port. accountHost is the host of the monitored container's account
// (url.Hostname()), the RIDs are DatabaseProperties.ResourceID and
// ContainerProperties.ResourceID. Any other spelling and the scalers find no
// lease at all.
func Prefix(processorName, accountHost, databaseRID, containerRID string) string {
	return processorName + strings.ToLower(accountHost) + "_" + databaseRID + "_" + containerRID
}

// CheckName says whether a processor may have this name.
func CheckName(processorName string) error {
	switch {
	case processorName == "":
		return fmt.Errorf("check processor name: it is empty")
	case strings.ContainsAny(processorName, forbidden):
		return fmt.Errorf("check processor name %q: it must have none of %s", processorName, forbidden)
	}
	for _, r := range processorName {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("check processor name %q: it must have no control characters", processorName)
		}
	}
	return nil
}
