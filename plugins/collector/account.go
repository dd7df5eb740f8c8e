package collector

import (
	"container/heap"
	"container/list"
	"net/netip"
)

// account is what one address has in a decoder, under whatever protocols, ports and
// domains it sends: it cannot get more than its share by calling itself by many names.
type account struct {
	addr    netip.Addr
	bytes   int       // templates, option records and names
	domains list.List // of *domain, the one that was idle longest first
	place   int       // in the heap of accounts
	seat    *seat     // nil without Options.MaxExporters
	series  series
}

// addressShare is the part of Options.MaxBytes and Options.MaxDomains that one address
// may have: one in so many.
const addressShare = 2

func (a *account) weight() int { return a.bytes }
func (a *account) at() *int    { return &a.place }

// open returns the account of an address, new or known.
func (d *Decoder) open(addr netip.Addr) *account {
	a := d.accounts[addr]
	if a == nil {
		a = &account{addr: addr}
		d.accounts[addr] = a
		heap.Push(&d.largest, a)
	}
	return a
}

// grow counts memory that a domain takes.
func (d *Decoder) grow(dom *domain, size int) {
	dom.bytes += size
	d.charge(dom.account, size)
}

// charge counts memory that an address takes.
func (d *Decoder) charge(a *account, size int) {
	d.bytes += size
	a.bytes += size
	heap.Fix(&d.largest, a.place)
}

// affords says whether an address may have size bytes more without anything being
// dropped.
func (d *Decoder) affords(a *account, size int) bool {
	return d.bytes+size <= d.opt.MaxBytes && a.bytes+size <= d.opt.MaxBytes/addressShare
}

// shrink drops what an address has too much, then what all have too much from the one
// that has most: whole domains, the longest idle first, and of the domain at hand its
// templates, but for the last.
func (d *Decoder) shrink(dom *domain) {
	for dom.account.bytes > d.opt.MaxBytes/addressShare {
		if !d.shrinkOne(dom.account, dom) {
			break
		}
	}
	for d.bytes > d.opt.MaxBytes {
		if !d.shrinkOne(d.largest[0], dom) {
			break
		}
	}
}

// shrinkOne drops something of an account, and says whether there was anything.
func (d *Decoder) shrinkOne(a *account, dom *domain) bool {
	if first := a.domains.Front().Value.(*domain); first != dom {
		d.forget(first)
		return true
	}
	if next := a.domains.Front().Next(); next != nil {
		d.forget(next.Value.(*domain))
		return true
	}
	if dom.entries > 1 {
		d.dropIdle(dom)
		return true
	}
	return false
}

// makeRoom makes room for one more domain of an address: that address gives one of its
// own when it has its share; else one goes whose templates have not described a flow
// yet, as anybody can make up, and only then the one that was idle longest.
func (d *Decoder) makeRoom(addr netip.Addr) {
	if a := d.accounts[addr]; a != nil && a.domains.Len() >= max(1, d.opt.MaxDomains/addressShare) {
		d.forget(a.domains.Front().Value.(*domain))
	}
	for len(d.domains) >= d.opt.MaxDomains {
		d.forget(d.leastProven())
	}
}

// leastProven returns the domain that is missed least: see makeRoom.
func (d *Decoder) leastProven() *domain {
	if front := d.strangers.Front(); front != nil {
		return front.Value.(*domain)
	}
	return d.proven.Front().Value.(*domain)
}

// touch makes a domain the one that was used last.
func (d *Decoder) touch(dom *domain) {
	d.newest = dom
	dom.account.domains.MoveToBack(dom.inAccount)
	if dom.isProven {
		d.proven.MoveToBack(dom.inOrder)
	} else {
		d.strangers.MoveToBack(dom.inOrder)
	}
}

// prove notes that a domain's templates have described flows.
func (d *Decoder) prove(dom *domain) {
	if d.domains[dom.key] != dom { // dropped meanwhile
		return
	}
	d.strangers.Remove(dom.inOrder)
	dom.isProven = true
	dom.inOrder = d.proven.PushBack(dom)
}

// enlist adds a domain to the lists.
func (d *Decoder) enlist(dom *domain) {
	d.newest = dom
	dom.inAccount = dom.account.domains.PushBack(dom)
	dom.inOrder = d.strangers.PushBack(dom)
}

// delist takes a domain out of the lists.
func (d *Decoder) delist(dom *domain) {
	if d.newest == dom {
		d.newest = nil
	}
	if dom.isProven {
		d.proven.Remove(dom.inOrder)
	} else {
		d.strangers.Remove(dom.inOrder)
	}
	a := dom.account
	a.domains.Remove(dom.inAccount)
	d.charge(a, -dom.bytes)
	if a.domains.Len() == 0 {
		heap.Remove(&d.largest, a.place)
		delete(d.accounts, a.addr)
		d.listed -= len(a.series.heard)
	}
}
