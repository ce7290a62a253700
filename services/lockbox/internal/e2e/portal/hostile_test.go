package portal_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"github.com/openlockbox/lockbox/services/portal"
)

// hostile is what somebody writes who wants a reader's browser, or spreadsheet, to do something for them.
var hostile = []string{
	`<script>window.pwned=1</script>`, `"><script>window.pwned=1</script>`, `'><img src=x onerror=window.pwned=1>`,
	`<svg onload=window.pwned=1>`,
	`</title><script>window.pwned=1</script>`, `</desc></svg><script>window.pwned=1</script>`,
	`</textarea><script>window.pwned=1</script>`,
	`</option></select><img src=x onerror=window.pwned=1>`, `<a href="javascript:window.pwned=1" autofocus>x</a>`,
	`javascript:window.pwned=1//`,
	`{{.Visit}}{{t "site.skip"}}`, `" autofocus onfocus=window.pwned=1 x="`,
	`' onmouseover='window.pwned=1' style='position:fixed;inset:0`,
	`<iframe srcdoc="<script>parent.pwned=1</script>">`, `<math><mi xlink:href="javascript:window.pwned=1">x</mi></math>`,
	`<!--><script>window.pwned=1</script>`,
	`<meta http-equiv=refresh content="0;url=//evil.example">`, `<base href=//evil.example/>`,
	`<form action=//evil.example><button autofocus>`,
	`<style>*{display:none}</style>`, `<object data="data:text/html,<script>parent.pwned=1</script>">`,
	`<details open ontoggle=window.pwned=1>`,
	`<video><source onerror=window.pwned=1></video>`, `<link rel=stylesheet href=//evil.example/x.css>`,
	`&lt;script&gt;window.pwned=1&lt;/script&gt;`,
	`<script src=/assets/evil.js></script>`, `<template><script>window.pwned=1</script></template>`,
	`=HYPERLINK("https://evil.example","x")`,
	`@SUM(1+1)*cmd|' /C calc'!A0`, `<x onclick=window.pwned=1 tabindex=0 autofocus onfocus=window.pwned=1>`,
}

// What people wrote is only ever read: in every page of every role, in files, and in what programs get.
func TestWhatPeopleWriteIsOnlyRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	for i, payload := range hostile {
		w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: fmt.Sprintf("SR-%d", i),
			Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{
				Title: payload, Description: payload, SubscriptionId: demo.BankProduction,
			}}})
		w.does("onboarding", &lockboxv1.Command{Tenant: bank, AggregateId: fmt.Sprintf("sub-%d", i),
			Action: &lockboxv1.Command_RegisterSubscription{RegisterSubscription: &lockboxv1.RegisterSubscription{
				DisplayName: payload,
			}}})
		w.does("grace", &lockboxv1.Command{Tenant: bank, AggregateId: "sub-0",
			Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{
				Id: fmt.Sprintf("as-%d", i), Role: lockboxv1.Role_ROLE_OWNER,
				Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION,
				Person: &lockboxv1.Person{Issuer: w.issuer(bank), Subject: fmt.Sprintf("p-%d", i), DisplayName: payload,
					Email: fmt.Sprintf("p%d@meadowbank.example", i)},
			}}}})
	}
	everything := strings.Join(hostile, "\n")
	in := intent()
	in.Justification = everything
	pending := w.requested("erin", in, request.CustomerNotified)
	for _, payload := range hostile[:3] {
		w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: pending,
			Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: payload}}})
	}
	in = intent()
	in.Justification = everything
	denied := w.requested("erin", in, request.CustomerNotified)
	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: denied,
		Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: everything}}})
	after := w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: denied,
		Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: everything}}})
	pages, err := portal.Pages()
	must(t, err)
	for _, side := range []struct {
		who, base string
		is        func(portal.Page) bool
	}{
		{"grace", "/t/" + bank, func(p portal.Page) bool { return p.Customers }},
		{"otto", "/t/" + bank, func(p portal.Page) bool { return p.Customers && strings.HasPrefix(p.Path, "/requests") }},
		{"olga", "/provider", func(p portal.Page) bool { return p.Provider }},
	} {
		t.Run(side.who, func(t *testing.T) {
			b := w.browser(desktop)
			b.T = t
			b.visit(w.info.PortalURL + side.base)
			b.signIn(side.who)
			looked := map[string]bool{}
			look := func(path string) {
				if looked[path] {
					return
				}
				looked[path] = true
				b.visit(w.info.PortalURL + side.base + path)
				if !run(b, chromedpBool("window.pwned === undefined && document.querySelectorAll('script:not([src^=\"/assets/\"]), iframe, object, base, math, video, template, style').length === 0 && "+
					"[...document.querySelectorAll('*')].every((e) => e.getAttributeNames().every((n) => !n.startsWith('on')))")) {
					t.Errorf("%s: something that was written is part of the page", path)
				}
			}
			for _, p := range pages {
				if !isPage(p) || !side.is(p) {
					continue
				}
				for _, id := range []string{pending, denied} {
					look(place{id, "SR-0", "sub-0", "as-0"}.in(p.Path))
				}
			}
			for i := range hostile {
				ticket := fmt.Sprintf("/tickets/SR-%d", i)
				delete(looked, ticket) // to read it now, whichever page was looked at last
				look(ticket)
				if text := b.text("h1"); text != hostile[i] {
					t.Errorf("what was written is not read: %q is %q", hostile[i], text)
				}
			}
			b.quiet("responded with a status of 4") // 404 or 409, which some of these pages are for some of these things
		})
	}
	client, err := visitor.SignIn(t.Context(), w.info.PortalURL+"/t/"+bank, "grace")
	must(t, err)
	for format, media := range map[string]string{
		"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8; header=present",
	} {
		answer, body := w.asks(t, client, http.MethodGet,
			fmt.Sprintf("/t/%s/activity/export?format=%s&after=%d", bank, format, after), "")
		if answer.Status != http.StatusOK || answer.Header.Get("Content-Type") != media ||
			answer.Header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(answer.Header.Get("Content-Disposition"), "attachment") || !strings.Contains(body, "pwned") {
			t.Errorf("%s: %d %v", format, answer.Status, answer.Header)
		}
		if format == "csv" {
			rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
			must(t, err)
			for _, row := range rows {
				for _, cell := range row {
					if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "@") {
						t.Errorf("a spreadsheet computes %q", cell)
					}
				}
			}
		}
	}
	for _, path := range []string{
		"/lockbox/v1/requests/" + denied, "/lockbox/v1/activity", "/lockbox/v1/approvers?subscriptionId=sub-0",
		"/lockbox/v1/requests?limit=%3Cscript%3E", "/lockbox/v1/%3Cscript%3E",
		"/subscriptions/" + demo.BankProduction + "/providers/Microsoft.CustomerLockbox/requests",
		"/subscriptions/%3Cscript%3E/providers/Microsoft.CustomerLockbox/requests",
	} {
		answer, body := w.asks(t, http.DefaultClient, http.MethodGet, path, w.token("grace"))
		if media := answer.Header.Get("Content-Type"); !strings.HasPrefix(media, "application/") ||
			!strings.Contains(media, "json") || answer.Header.Get("X-Content-Type-Options") != "nosniff" ||
			strings.Contains(body, "<script") {
			t.Errorf("%s: %v %.300s", path, answer.Header, body)
		}
	}
}
