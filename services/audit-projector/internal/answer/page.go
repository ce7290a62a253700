package answer

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	// Limits for texts and timelines in a reply that would be too large. The activity log, which has pages, returns
	// them in full.
	shortText     = 300
	shortTimeline = 100
)

// pageToken encodes where the next page begins: below this sequence. It grants no access: every page is filtered like
// the first.
func pageToken(before uint64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64([]byte{1}, before))
}

func pageBefore(field, token string) (uint64, error) {
	if token == "" {
		return 0, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(data) != 9 || data[0] != 1 || data[1]&0x80 != 0 {
		return 0, refusal.OfKind(
			refusal.Invalid(field, "R39", "is not the next_page_token of an earlier answer"),
			"page-token")
	}
	return binary.BigEndian.Uint64(data[1:]), nil
}

// placeToken encodes where a page of requests begins: after a row or, backward, before it. It grants no access either.
func placeToken(f projection.RequestFilter, r projection.Row, backward bool) string {
	if !f.ByDeadline && !backward {
		return pageToken(r.Sequence)
	}
	way := byte(forward)
	if backward {
		way = back
	}
	data := binary.BigEndian.AppendUint64([]byte{2, way}, uint64(r.Due)) // #nosec G115 -- converted back
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(data, r.Sequence))
}

// The directions in a token.
const (
	forward = iota
	back
)

// pagePlace adds to a filter where its page begins.
func pagePlace(f projection.RequestFilter, field, token string) (projection.RequestFilter, error) {
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(data) != 18 || data[0] != 2 || data[1] > back || data[2]&0x80 != 0 || data[10]&0x80 != 0 {
		if f.ByDeadline && token != "" {
			return f, refusal.OfKind(
				refusal.Invalid(field, "R39", "is not a page token of an earlier answer in this order"),
				"page-token")
		}
		f.Before, err = pageBefore(field, token)
		return f, err
	}
	f.Backward = data[1] == back
	due := int64(binary.BigEndian.Uint64(data[2:])) // #nosec G115 -- not negative, as was checked
	return f.From(projection.Row{Due: due, Sequence: binary.BigEndian.Uint64(data[10:])}), nil
}

func pageLimit(field string, limit uint32) (int, error) {
	switch {
	case limit == 0:
		return defaultLimit, nil
	case limit > maxLimit:
		return 0, refusal.OfKind(
			refusal.Invalid(field, "R39", "at most %d are listed at once", maxLimit),
			"limit", "most", strconv.Itoa(maxLimit))
	}
	return int(limit), nil
}

// fit shrinks a request to fit the bus: it first truncates texts visibly, then leaves out the middle of the timeline
// and of the deliveries, then the excluded assignments. It returns the size in bytes.
func fit(v *lockboxv1.RequestView) int {
	if size := proto.Size(v); size <= largest {
		return size
	}
	// The slices may be shared, so they are cloned before they are changed.
	v.Questions = slices.Clone(v.GetQuestions())
	for i, q := range v.GetQuestions() {
		v.Questions[i] = proto.CloneOf(q)
		v.Questions[i].Text, v.Questions[i].Answer = shorten(q.GetText()), shorten(q.GetAnswer())
	}
	v.InternalDecisions, v.CustomerDecisions = slices.Clone(v.GetInternalDecisions()),
		slices.Clone(v.GetCustomerDecisions())
	for _, decisions := range [][]*lockboxv1.Decision{v.GetInternalDecisions(), v.GetCustomerDecisions()} {
		for i, d := range decisions {
			decisions[i] = proto.CloneOf(d)
			decisions[i].Reason, decisions[i].Signed = shorten(d.GetReason()), nil
		}
	}
	if proto.Size(v) > largest {
		v.Timeline, v.Deliveries = lastOf(v.GetTimeline()), lastOf(v.GetDeliveries())
	}
	if proto.Size(v) > largest && v.GetLockbox() != nil {
		v.Lockbox = proto.CloneOf(v.GetLockbox())
		v.Lockbox.Excluded = nil
	}
	return proto.Size(v)
}

func fitTicket(v *lockboxv1.TicketView) {
	if proto.Size(v) > largest {
		v.History = lastOf(v.GetHistory())
	}
}

// lastOf keeps the first and the newest entries.
func lastOf[E any](entries []E) []E {
	if len(entries) <= shortTimeline {
		return entries
	}
	return append([]E{entries[0]}, entries[len(entries)-shortTimeline+1:]...)
}

func shorten(s string) string {
	if r := []rune(s); len(r) > shortText {
		return string(r[:shortText]) + " […]"
	}
	return s
}
