package main

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// The service manager is told, as units of Type=notify want it (sd_notify(3)), how the agent
// is: ready, reloading, stopping, and alive. Without a manager all of this does nothing.

// notifyReady tells that the agent runs, with what is shown by systemctl status.
func notifyReady(status string) {
	daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+status)
}

// notifyReloading tells that the configuration is read again; notifyReady ends that.
func notifyReloading() {
	// Units of Type=notify-reload need the time.
	daemon.SdNotify(false, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
}

// notifyStopping tells that the agent has begun to end.
func notifyStopping() { daemon.SdNotify(false, daemon.SdNotifyStopping) }

// feedWatchdog tells the manager until ctx is done that this process is alive, twice in each
// WatchdogSec of the unit.
func feedWatchdog(ctx context.Context) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		return
	}
	go func() {
		ticker := time.NewTicker(interval / 2)
		defer ticker.Stop()
		for {
			daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
}
