package main

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// tap is one identity's way to the server. It reads the protocol on the way and changes nothing, but it may hold a
// message back (record.holds).
type tap struct {
	server nats.InProcessConnProvider
	of     bus.Identity
	into   *record
}

// InProcessConn connects without a socket, as the server itself does.
func (t tap) InProcessConn() (net.Conn, error) {
	conn, err := t.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	c := &tapped{Conn: conn, tap: t}
	c.more.L = &c.mu
	go c.receive()
	return c, nil
}

type tapped struct {
	net.Conn
	tap

	writing sync.Mutex
	sent    protocol

	mu   sync.Mutex
	more sync.Cond
	got  protocol
	// ready is what may be read, held what may not yet be, in order.
	ready []byte
	held  []frame
	err   error
}

// Write notes what is sent before the server can answer it.
func (c *tapped) Write(p []byte) (int, error) {
	c.writing.Lock()
	for _, f := range c.sent.frames(p) {
		if f.is {
			c.into.sent(c.of, f.message)
		}
	}
	c.writing.Unlock()
	c.mu.Lock()
	c.release()
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// Read returns what has arrived and is not held back.
func (c *tapped) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.ready) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.more.Wait()
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// receive notes what arrives before the client can act on it.
func (c *tapped) receive() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.Conn.Read(buffer)
		c.mu.Lock()
		c.held = append(c.held, c.got.frames(buffer[:n])...)
		c.release()
		if err != nil {
			c.err = err
			c.more.Broadcast()
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// release lets pass what need not be held back any more.
func (c *tapped) release() {
	var still []frame
	for _, f := range c.held {
		if f.is && c.into.holds(c.of, f.message) {
			still = append(still, f)
			continue
		}
		if f.is {
			c.into.got(c.of, f.message)
		}
		c.ready = append(c.ready, f.raw...)
	}
	c.held = still
	c.more.Broadcast()
}

// message is one message in either direction.
type message struct {
	subject, reply string
	header, data   []byte
}

// frame is a line of the protocol, with the message that it announces, if it is PUB, HPUB, MSG or HMSG.
type frame struct {
	message
	is  bool
	raw []byte
}

// protocol takes one direction of a connection apart.
type protocol struct{ rest []byte }

const lineEnd = "\r\n"

func (p *protocol) frames(data []byte) (whole []frame) {
	p.rest = append(p.rest, data...)
	for {
		line, after, ends := bytes.Cut(p.rest, []byte(lineEnd))
		if !ends {
			return whole
		}
		f, header, size := parse(string(line))
		length := len(line) + len(lineEnd)
		if f.is {
			if length += size + len(lineEnd); len(p.rest) < length {
				return whole
			}
			f.header, f.data = bytes.Clone(after[:header]), bytes.Clone(after[header:size])
		}
		f.raw = bytes.Clone(p.rest[:length])
		p.rest = p.rest[length:]
		whole = append(whole, f)
	}
}

// parse reads a line, and returns the sizes of the header and of all that follows it.
func parse(line string) (f frame, header, size int) {
	// PUB subject [reply] size; HPUB subject [reply] header size; MSG and HMSG have a subscription after the subject.
	words := strings.Fields(line)
	sizes, skip := 1, 0
	switch {
	case len(words) < 3:
		return f, 0, 0
	case words[0] == "PUB":
	case words[0] == "HPUB":
		sizes = 2
	case words[0] == "MSG":
		skip = 1
	case words[0] == "HMSG":
		sizes, skip = 2, 1
	default:
		return f, 0, 0
	}
	f.is, f.subject = true, words[1]
	names, numbers := words[2+skip:len(words)-sizes], words[len(words)-sizes:]
	if len(names) > 0 {
		f.reply = names[0]
	}
	for i, text := range numbers {
		n, err := strconv.Atoi(text)
		if err != nil {
			panic(fmt.Sprintf("a line of the protocol that this program does not understand: %q", line))
		}
		if i == 0 && sizes == 2 {
			header = n
		}
		size = n
	}
	return f, header, size
}
