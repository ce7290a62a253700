// Package portalurl says where pages of the portal lie, for whoever names one: mails, the command line, the portal
// itself. A link opens a page and does nothing else (R24).
package portalurl

import (
	"net/url"
	"strings"
)

// Base is below what an organisation's pages lie, a tenant's or with an empty name the provider's: no slash at the end.
func Base(tenant string) string {
	if tenant == "" {
		return "/provider"
	}
	return "/t/" + url.PathEscape(tenant)
}

// To is the address of a page of an organisation: To("https://lockbox.example.org", "meadowbank", "requests", id).
func To(portal, tenant string, path ...string) string {
	at := strings.TrimSuffix(portal, "/") + Base(tenant)
	for _, part := range path {
		at += "/" + url.PathEscape(part)
	}
	return at
}
