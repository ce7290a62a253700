// Package session is who is signed in to the portal, for as long as their browser's cookie and the bus both say so.
package session

import "time"

// Session is somebody's sign-in.
type Session struct {
	// Tenant of the organisation that they signed in with; empty: the provider.
	Tenant string
	// Token is their ID token: what every command and query carries.
	Token string
	// Name and Language as the token says, to greet them.
	Name, Language string
	// Expires is when the token does, and the session with it.
	Expires time.Time
}
