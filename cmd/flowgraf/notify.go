package main

import (
	"context"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"
)

// The service manager is told, as units of Type=notify want it (sd_notify(3)), how the agent
// is: ready, reloading, stopping, and alive. Without a manager all of this does nothing.

// notifyReady tells that the agent runs, with what is shown by systemctl status.
func notifyReady(status string) {
	daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+status)
}

// announcement is an input that tells the service manager that the agent is ready when it
// is started. It is the last one: Telegraf connects all outputs and starts the processors
// first, and then the inputs, in their order.
type announcement struct {
	idle
	status string
}

// Start tells that the agent is ready.
func (a *announcement) Start(telegraf.Accumulator) error {
	notifyReady(a.status)
	return nil
}

// Stop does nothing.
func (*announcement) Stop() {}

// announce lets an agent tell its service manager, where it has one, that it is ready:
// when ports are open and outputs connected, and not when one of them could not be. An
// output that tries again by itself, as outputs.nfdump does, counts as connected: its log
// says what is wrong.
func announce(c *config.Config) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	c.Inputs = append(c.Inputs, models.NewRunningInput(&announcement{status: summary(c)},
		&models.InputConfig{Name: "service_manager"}))
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
