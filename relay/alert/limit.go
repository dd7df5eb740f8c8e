package alert

import "time"

// bucket admits so many mails in an interval, all at once or one by one.
type bucket struct {
	left float64
	at   time.Time // when left was true
}

// takeToken takes one of the most that the bucket holds, which come back evenly over the
// interval. A bucket that was never used is full; most below zero is no limit.
func (b *bucket) takeToken(now time.Time, most int, interval time.Duration) bool {
	if most < 0 {
		return true
	}
	if b.at.IsZero() {
		b.left = float64(most)
	} else if past := now.Sub(b.at); past > 0 {
		b.left = min(float64(most), b.left+float64(most)*past.Seconds()/interval.Seconds())
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// limits are the rates of rules and recipients. There are as many of them as the
// configuration names.
type limits struct {
	interval   time.Duration
	mails      int // of a recipient in an interval
	rules      map[string]*bucket
	recipients map[string]*bucket
}

func newLimits(mails int, interval time.Duration) *limits {
	return &limits{interval: interval, mails: mails, rules: map[string]*bucket{}, recipients: map[string]*bucket{}}
}

// split tells who of a rule's recipients gets a mail of its own now, and whose mail
// comes in a digest.
func (l *limits) split(r *rule, now time.Time) (direct, held []string) {
	ruleAllows := bucketOf(l.rules, r.name).takeToken(now, r.maxMails, l.interval)
	for _, a := range r.to {
		to := a.String()
		if ruleAllows && bucketOf(l.recipients, to).takeToken(now, l.mails, l.interval) {
			direct = append(direct, to)
		} else {
			held = append(held, to)
		}
	}
	return direct, held
}

// giveBack undoes a split whose mail could not be stored.
func (l *limits) giveBack(r *rule, direct []string) {
	bucketOf(l.rules, r.name).left++
	for _, to := range direct {
		bucketOf(l.recipients, to).left++
	}
}

func bucketOf(of map[string]*bucket, name string) *bucket {
	b := of[name]
	if b == nil {
		b = &bucket{}
		of[name] = b
	}
	return b
}
