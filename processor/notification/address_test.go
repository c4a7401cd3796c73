package notification

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"20.37.158.0": true, "4.150.240.10": true, "1.1.1.1": true, "168.63.129.15": true, "172.32.0.1": true,
		"172.15.255.255": true, "100.63.255.255": true, "100.128.0.0": true, "223.255.255.255": true, "169.253.0.1": true,
		"2603:1030:a0b::10": true, "2001:4860:4860::8888": true, "2620:1ec:c11::200": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false,
		"100.127.255.255": false, "127.0.0.1": false, "127.255.255.254": false, "168.63.129.16": false,
		"169.254.169.254": false, "169.254.0.1": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.170": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.0.1": false, "198.18.0.1": false,
		"198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false,
		"240.0.0.1": false, "255.255.255.255": false,

		"::": false, "::1": false, "::7f00:1": false, "::ffff:20.37.158.0": false, "::ffff:127.0.0.1": false,
		"64:ff9b::1.1.1.1": false, "64:ff9b:1::1": false, "100::1": false, "fc00::1": false, "fd00:ec2::254": false,
		"fe80::1": false, "fe80::1%eth0": false, "2603:1030::1%eth0": false, "fec0::1": false, "ff02::1": false,
		"2001::1": false, "2001:10::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "3fff::1": false,
		"4000::1": false, "5f00::1": false,
	} {
		if have := public(netip.MustParseAddr(text)); have != want {
			t.Errorf("%s: public is %v", text, have)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
	for _, text := range []string{"", "host:443", "127.0.0.1", "127.0.0.1:443", "[::1]:443"} {
		if guard("tcp", text, nil) == nil {
			t.Errorf("%q is let through", text)
		}
	}
	if err := guard("tcp", "20.37.158.0:443", nil); err != nil {
		t.Error(err)
	}
}

// TestNamesThatLeadInside: whatever the name server says of an allowed name, no
// inner address is connected to, be it the only one or one of many.
func TestNamesThatLeadInside(t *testing.T) {
	for _, addresses := range []string{
		"127.0.0.1", "169.254.169.254", "10.0.0.1 10.0.0.2 192.168.0.1", "168.63.129.16", "0.0.0.0",
		"::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "127.0.0.1 ::1",
	} {
		r := newRigWith(t, newNames(strings.Fields(addresses)...))
		err := r.Send(t.Context(), "https://management.azure.com/x?token="+secret, payload)
		unavailable(t, err)
		first, _, _ := strings.Cut(addresses, " ")
		if !strings.Contains(err.Error(), "is not of the public internet") {
			t.Errorf("%s: %v", addresses, err)
		}
		if !strings.Contains(addresses, " ") && !strings.Contains(err.Error(), strings.TrimPrefix(first, "::ffff:")) {
			t.Errorf("%s: the error does not show it: %v", addresses, err)
		}
		if counts := r.counts(t); counts["address_refused"] != 1 || len(counts) != 1 {
			t.Errorf("%s: counted %v", addresses, counts)
		}
	}
}

// names is a name server that says the same of each name.
type names struct{ addresses []netip.Addr }

func newNames(texts ...string) names {
	var n names
	for _, text := range texts {
		n.addresses = append(n.addresses, netip.MustParseAddr(text))
	}
	return n
}

// dial answers the queries on one connection, framed as over TCP.
func (n names) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		for {
			var size [2]byte
			if _, err := io.ReadFull(far, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(far, query); err != nil {
				return
			}
			reply := n.reply(query)
			far.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
		}
	}()
	return near, nil
}

// reply repeats the question and answers it (RFC 1035, 4.1).
func (n names) reply(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	kind := binary.BigEndian.Uint16(query[end-4:])
	var count uint16
	var answers []byte
	for _, a := range n.addresses {
		if kind == 1 && !a.Is4() || kind == 28 && a.Is4() || kind != 1 && kind != 28 {
			continue
		}
		count++
		answers = append(answers, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 60) // the name at 12, class IN, a minute
		answers = binary.BigEndian.AppendUint16(answers, uint16(a.BitLen()/8))
		answers = append(answers, a.AsSlice()...)
	}
	reply := append([]byte{query[0], query[1], 0x84, 0, 0, 1, byte(count >> 8), byte(count), 0, 0, 0, 0}, query[12:end]...)
	return append(reply, answers...)
}
