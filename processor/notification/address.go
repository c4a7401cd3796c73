package notification

import (
	"fmt"
	"net/netip"
	"syscall"
)

// addressError is an address that an allowed name led to and that is not called.
type addressError struct{ address netip.Addr }

// Error shows the address: whoever runs the name server has to be found.
func (e *addressError) Error() string {
	return fmt.Sprintf("address %v is not of the public internet", e.address)
}

// guard is a net.Dialer's Control: it sees each address right before it is
// connected to, so that nothing is resolved again in between.
func guard(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &addressError{}
	}
	if !public(to.Addr()) {
		return &addressError{to.Addr()}
	}
	return nil
}

// unicast6 is all that is given out of IPv6. Outside of it are ::1, addresses
// mapped from IPv4, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), unique local, link
// local and multicast ones.
var unicast6 = netip.MustParsePrefix("2000::/3")

// special are the ranges that are not, or not safely, of the public internet:
// those of IANA's registries of special-purpose addresses, multicast, and one of
// Azure's own.
var special = prefixes(
	"0.0.0.0/8",         // this network
	"10.0.0.0/8",        // private
	"100.64.0.0/10",     // carrier-grade NAT
	"127.0.0.0/8",       // loopback
	"168.63.129.16/32",  // Azure: the host's wire server, in the middle of public addresses
	"169.254.0.0/16",    // link local, 169.254.169.254 among them
	"172.16.0.0/12",     // private
	"192.0.0.0/24",      // protocol assignments
	"192.0.2.0/24",      // documentation
	"192.31.196.0/24",   // AS112
	"192.52.193.0/24",   // AMT
	"192.88.99.0/24",    // 6to4 relays
	"192.168.0.0/16",    // private
	"192.175.48.0/24",   // AS112
	"198.18.0.0/15",     // benchmarks
	"198.51.100.0/24",   // documentation
	"203.0.113.0/24",    // documentation
	"224.0.0.0/4",       // multicast
	"240.0.0.0/4",       // reserved, and broadcast
	"2001::/23",         // protocol assignments: Teredo, ORCHID and others
	"2001:db8::/32",     // documentation
	"2002::/16",         // 6to4: holds an IPv4 address
	"2620:4f:8000::/48", // AS112
	"3fff::/20",         // documentation
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// public tells whether an address may be connected to.
func public(a netip.Addr) bool {
	if a.Zone() != "" || !a.Is4() && !unicast6.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
