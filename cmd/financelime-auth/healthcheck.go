package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

type healthcheck struct{}

// Run requests /readyz from the admin port of a running service. It is for containers without curl.
func (healthcheck) Run(ctx context.Context, s *Settings) error {
	host, port, err := net.SplitHostPort(s.AdminAddr)
	if err != nil {
		return fmt.Errorf("AUTH_ADMIN_ADDR: %w", err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("AUTH_ADMIN_ADDR: %w", err)
	}
	// No proxy: its response would describe the proxy. No redirects: the service sends none.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("not running: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	reason, err := io.ReadAll(io.LimitReader(response.Body, 1000))
	if err != nil || len(reason) == 0 {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return fmt.Errorf("not ready: %s", oneLine(strings.TrimSpace(string(reason))))
}
