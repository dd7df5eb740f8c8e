// Package alert turns samples into alert mails: rules with an expression for each
// level, the level of each id, and the mail that tells of a change.
//
// Expressions are CEL with the variables and functions of Telegraf's metricpass:
// name (string), tags (map of string), fields (map of dyn), time (timestamp), now(),
// and cel-go's encoders, math and strings libraries. Templates are Go's
// text/template with the names that Kapacitor's AlertNode has.
//
// A change of level becomes one mail; a first OK is silent. A level may have a
// reset expression: while that is false the level is not left downwards. A sample
// that lacks a field which a rule refers to has no value for that rule: it changes
// nothing and is counted.
//
// What survives a crash: the mail of a change is on stable storage first, and held;
// then the state file is replaced; then the mail is released. A mail carries its
// change along, so that after a crash between the first two steps Recover completes
// the state from the mails that wait. No change is lost and none is told twice, and
// the Message-ID is made of rule, id, level and time.
package alert
