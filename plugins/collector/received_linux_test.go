package collector

import (
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestReceivedWhenTheKernelHadIt: a datagram that has waited in the receive buffer was received
// before it was read. A kernel begins to note times a moment after it was told to, so it has
// several tries.
func TestReceivedWhenTheKernelHadIt(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to := conn.LocalAddr().String()
	s, err := newSocket(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	r, err := newBatchReader(s)
	if err != nil {
		t.Fatal(err)
	}
	from, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for until := time.Now().Add(20 * time.Second); ; {
		sent := time.Now()
		if _, err := from.Write([]byte("flows")); err != nil {
			t.Fatal(err)
		}
		if err := s.wait(); err != nil {
			t.Fatal(err)
		}
		there := time.Now()
		for !time.Now().After(there) { // until the clock says something else
		}
		list, err := r.readBatch()
		if err != nil || len(list) != 1 {
			t.Fatalf("%d datagrams, %v", len(list), err)
		}
		at := list[0].Received
		if at.Before(sent) || at.After(time.Now()) {
			t.Fatalf("received at %s, sent at %s", at, sent)
		}
		if !at.After(there) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("received at %s, but was there at %s", at, there)
		}
	}
}

// timestampSize is the size of the control message SO_TIMESTAMPNS.
var timestampSize = unix.CmsgLen(int(unsafe.Sizeof(unix.Timespec{})))

// setTimestamp gives a datagram the control messages of the kernel, the time among them.
func (r *batchReader) setTimestamp(i int, at time.Time) {
	other := unix.CmsgSpace(4)
	*(*unix.Cmsghdr)(unsafe.Pointer(&r.control[i][0])) = unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: unix.SO_RXQ_OVFL}
	(*unix.Cmsghdr)(unsafe.Pointer(&r.control[i][0])).SetLen(unix.CmsgLen(4))
	c := (*unix.Cmsghdr)(unsafe.Pointer(&r.control[i][other]))
	*c = unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: unix.SO_TIMESTAMPNS}
	c.SetLen(timestampSize)
	*(*unix.Timespec)(unsafe.Pointer(&r.control[i][other+unix.CmsgLen(0)])) = unix.NsecToTimespec(at.UnixNano())
	r.msgs[i].hdr.SetControllen(other + timestampSize)
}

// TestReceivedWithTheClockSet: a time of the kernel's that cannot be, as the clock has been set
// while the datagram waited, is left aside, and so is one that is not there.
func TestReceivedWithTheClockSet(t *testing.T) {
	r := new(batchReader)
	now := time.Now()
	for _, c := range []struct {
		at   time.Time
		want time.Time
	}{
		{now.Add(-time.Millisecond), now.Add(-time.Millisecond)},
		{now.Add(time.Hour), now},
		{now.Add(-time.Hour), now},
	} {
		r.setTimestamp(0, c.at)
		if got := r.received(0, now); !got.Equal(c.want) {
			t.Errorf("the kernel says %s, received at %s, expected %s", c.at, got, c.want)
		}
	}
	for size := range unix.CmsgSpace(4) + timestampSize { // cut short, or without any
		r.msgs[0].hdr.SetControllen(size)
		if got := r.received(0, now); !got.Equal(now) {
			t.Errorf("with %d bytes of control messages received at %s", size, got)
		}
	}
}
