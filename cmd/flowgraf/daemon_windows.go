package main

import "errors"

func startDaemon([]string) error {
	return errors.New("-D: Windows runs no process of that kind: expected no -D, and a service around it")
}

func dropRights(user, group string, _ ...string) error {
	if user == "" && group == "" {
		return nil
	}
	return errors.New("-u and -g: Windows does not know them")
}

// logToSyslog: Windows has none.
func logToSyslog() (restore func()) { return func() {} }

// becomeOwner changes nothing: a process has one user here.
func becomeOwner(string) error { return nil }
