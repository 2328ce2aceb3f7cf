package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

var background = context.Background()

var sends = []scenario{
	{"sendSync", sendSync},
	{"sendAsync", sendAsync},
	{"sendOneway", sendOneway},
	{"sendBatch", sendBatch},
	{"compressed", compressed},
	{"tags", tags},
	{"delayLevel", delayLevel},
	{"timer", timer},
	{"requestReply", requestReply},
}

func numbered(name string, count int) []string {
	bodies := make([]string, count)
	for at := range bodies {
		bodies[at] = fmt.Sprintf("%s %d", name, at)
	}
	return bodies
}

func (w *world) sendAll(bodies ...string) error {
	p, err := w.producer()
	if err != nil {
		return err
	}
	for _, body := range bodies {
		result, err := p.SendSync(background, w.message(body))
		if err != nil {
			return err
		}
		if result.Status != primitive.SendOK || result.MsgID == "" || len(result.OffsetMsgID) != 32 {
			return fmt.Errorf("send answered %s", result)
		}
	}
	return nil
}

func (w *world) listen() error {
	_, err := w.consume(w.topic, w.group, "*", w.keep)
	return err
}

func sendSync(w *world) error {
	bodies := numbered("sync", 20)
	if err := w.sendAll(bodies...); err != nil {
		return err
	}
	if err := w.listen(); err != nil {
		return err
	}
	return w.expect(bodies...)
}

func sendAsync(w *world) error {
	p, err := w.producer()
	if err != nil {
		return err
	}
	bodies := numbered("async", 50)
	var group sync.WaitGroup
	var failed error
	for _, body := range bodies {
		group.Add(1)
		done := func(_ context.Context, _ *primitive.SendResult, err error) {
			defer group.Done()
			if err != nil {
				failed = err
			}
		}
		if err := p.SendAsync(background, done, w.message(body)); err != nil {
			return err
		}
	}
	group.Wait()
	if failed != nil {
		return failed
	}
	if err := w.listen(); err != nil {
		return err
	}
	return w.expect(bodies...)
}

func sendOneway(w *world) error {
	p, err := w.producer()
	if err != nil {
		return err
	}
	bodies := numbered("oneway", 20)
	for _, body := range bodies {
		if err := p.SendOneWay(background, w.message(body)); err != nil {
			return err
		}
	}
	if err := await(20*time.Second, "the topic has a route", func() bool {
		_, err := p.SendSync(background, w.message("last"))
		return err == nil
	}); err != nil {
		return err
	}
	if err := w.listen(); err != nil {
		return err
	}
	return w.expect(append(bodies, "last")...)
}

func sendBatch(w *world) error {
	p, err := w.producer()
	if err != nil {
		return err
	}
	bodies := numbered("batch", 10)
	var messages []*primitive.Message
	for _, body := range bodies {
		messages = append(messages, w.message(body).WithKeys([]string{body}))
	}
	result, err := p.SendSync(background, messages...)
	if err != nil {
		return err
	}
	if len(strings.Split(result.OffsetMsgID, ",")) != 10 {
		return fmt.Errorf("ten offset ids expected: %s", result)
	}
	if err := w.listen(); err != nil {
		return err
	}
	return w.expect(bodies...)
}

func compressed(w *world) error {
	body := strings.Repeat("compressible ", 8_000)
	if err := w.sendAll(body); err != nil {
		return err
	}
	if err := w.listen(); err != nil {
		return err
	}
	return w.expect(body)
}

func tags(w *world) error {
	p, err := w.producer()
	if err != nil {
		return err
	}
	// AaBB and BBAa have the same hash code.
	for _, tag := range []string{"A", "B", "C", "AaBB", "BBAa"} {
		if _, err := p.SendSync(background, w.message("tagged "+tag).WithTag(tag)); err != nil {
			return err
		}
	}
	if _, err := w.consume(w.topic, w.group, "A || BBAa", w.keep); err != nil {
		return err
	}
	return w.expect("tagged A", "tagged BBAa")
}

func (w *world) delayed(least time.Duration, prepare func(*primitive.Message)) error {
	if err := w.sendAll("now"); err != nil {
		return err
	}
	if err := w.listen(); err != nil {
		return err
	}
	if err := w.expect("now"); err != nil {
		return err
	}
	p, err := w.producer()
	if err != nil {
		return err
	}
	message := w.message("later")
	prepare(message)
	sent := time.Now()
	if _, err := p.SendSync(background, message); err != nil {
		return err
	}
	if _, err := w.next(30*time.Second, "the delayed message"); err != nil {
		return err
	}
	if took := time.Since(sent); took < least || took > least+8*time.Second {
		return fmt.Errorf("%v after the send, not %v", took, least)
	}
	return nil
}

func delayLevel(w *world) error {
	return w.delayed(4900*time.Millisecond, func(message *primitive.Message) { message.WithDelayTimeLevel(2) })
}

// The client has no method for it; the property is the protocol.
func timer(w *world) error {
	return w.delayed(3500*time.Millisecond, func(message *primitive.Message) {
		message.WithProperty("TIMER_DELAY_MS", "3500")
	})
}

func requestReply(w *world) error {
	if err := w.sendAll("warm-up"); err != nil {
		return err
	}
	answering, err := w.producer()
	if err != nil {
		return err
	}
	asking, err := w.producer()
	if err != nil {
		return err
	}
	reply := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, one := range messages {
			answer, err := consumer.CreateReplyMessage(one, []byte("re: "+string(one.Body)))
			if err == nil {
				_, err = answering.SendSync(background, answer)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "reply:", err)
			}
		}
		return consumer.ConsumeSuccess, nil
	}
	if _, err := w.consume(w.topic, w.group, "ask", reply); err != nil {
		return err
	}
	// The answer finds its way by the asking client's heartbeat, which the library sends every 30 s once it knows a broker.
	if _, err := asking.SendSync(background, w.message("know a broker")); err != nil {
		return err
	}
	var answer *primitive.Message
	if err := await(70*time.Second, "an answer came", func() bool {
		answer, err = asking.Request(background, 5*time.Second, w.message("question").WithTag("ask"))
		return err == nil
	}); err != nil {
		return err
	}
	// This version of the client leaves the body of a reply out.
	if body := string(answer.Body); body != "re: question" && body != "" {
		return fmt.Errorf("answered %s", answer)
	}
	return nil
}
