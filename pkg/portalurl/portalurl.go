// Package portalurl builds the URLs of the portal's pages for mails, the command line and the portal itself. A link
// opens a page and does nothing else (R24).
package portalurl

import (
	"net/url"
	"strings"
)

// Base returns the path prefix of an organisation's pages, without a trailing slash: a tenant's or, if tenant is empty,
// the provider's.
func Base(tenant string) string {
	if tenant == "" {
		return "/provider"
	}
	return "/t/" + url.PathEscape(tenant)
}

// To returns the URL of an organisation's page: To("https://lockbox.example.org", "meadowbank", "requests", id).
func To(portal, tenant string, path ...string) string {
	at := strings.TrimSuffix(portal, "/") + Base(tenant)
	for _, part := range path {
		at += "/" + url.PathEscape(part)
	}
	return at
}
