package aggregate_test

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

var (
	words = []string{"contoso", "eve", "otto", "https://login.example", "customer-support-leads", "/tenants/contoso/a", ""}
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
)

func instant(t *rapid.T) time.Time {
	return start.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "hour")) * time.Hour)
}

// fill sets a message's fields at random, down to a depth; of a oneof's fields none.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	if stamp, ok := m.Interface().(*timestamppb.Timestamp); ok {
		stamp.Seconds = instant(t).Unix()
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.ContainingOneof() != nil || rapid.IntRange(0, 4).Draw(t, "absent") == 0 {
			continue
		}
		switch {
		case fd.IsList():
			for range rapid.IntRange(0, 2).Draw(t, "length") {
				list := m.Mutable(fd).List()
				if fd.Message() == nil {
					list.Append(value(t, fd))
				} else if depth > 0 {
					fill(t, list.AppendMutable().Message(), depth-1)
				}
			}
		case fd.Message() != nil:
			if depth > 0 {
				fill(t, m.Mutable(fd).Message(), depth-1)
			}
		default:
			m.Set(fd, value(t, fd))
		}
	}
}

func value(t *rapid.T, fd protoreflect.FieldDescriptor) protoreflect.Value {
	n := rapid.IntRange(0, 6).Draw(t, string(fd.Name()))
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOf(n%2 == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOf(protoreflect.EnumNumber(n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOf(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOf(uint64(n))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOf(int32(n - 3))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOf(int64(n-3) * 3600)
	case protoreflect.BytesKind:
		return protoreflect.ValueOf([]byte(words[n]))
	default:
		return protoreflect.ValueOf(words[n])
	}
}
