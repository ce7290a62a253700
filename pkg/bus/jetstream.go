package bus

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// apiPrefix is the name of JetStream's API in every account but that of the streams.
const apiPrefix = "LB.API"

// JetStream returns a client of JetStream as it is reached from an identity's account.
func JetStream(nc *nats.Conn, options ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	return jetstream.NewWithAPIPrefix(nc, apiPrefix, options...)
}

// DirectGetSubject is the subject of the API by which any replica returns messages of a stream.
func DirectGetSubject(stream string) string { return apiPrefix + ".DIRECT.GET." + stream }

// MessageGetSubject is the subject of the API by which the stream's leader returns a message.
func MessageGetSubject(stream string) string { return apiPrefix + ".STREAM.MSG.GET." + stream }

// StreamInfoSubject is the subject of the API by which the stream's leader returns its configuration and state.
func StreamInfoSubject(stream string) string { return apiPrefix + ".STREAM.INFO." + stream }

// ConsumerResetSubject is the subject of the API that moves a consumer to another sequence.
func ConsumerResetSubject(stream, consumer string) string {
	return apiPrefix + ".CONSUMER.RESET." + stream + "." + consumer
}

// ConsumerNextSubject is the subject of the API by which a consumer delivers its next messages.
func ConsumerNextSubject(stream, consumer string) string {
	return apiPrefix + ".CONSUMER.MSG.NEXT." + stream + "." + consumer
}

// AckSubject is the subject on which a message of a durable consumer is acknowledged by its sequence in the stream. The
// delivery is any number between the consumer's last and the first that is not acknowledged.
func AckSubject(stream, consumer string, sequence, delivery uint64) string {
	return fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.0.0", stream, consumer, sequence, delivery)
}

// PurgeSubject is the subject of the API by which the stream's leader deletes messages.
func PurgeSubject(stream string) string { return apiPrefix + ".STREAM.PURGE." + stream }
