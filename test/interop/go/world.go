package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// world is what one scenario has: names of its own, clients closed after it, and what its consumers got.
type world struct {
	nameServer, topic, group string
	received                 chan *primitive.MessageExt
	closings                 []func()
}

var clients atomic.Int64

func newWorld(nameServer, prefix, name string) *world {
	return &world{nameServer, prefix + "-" + name, "G-" + prefix + "-" + name, make(chan *primitive.MessageExt, 10_000), nil}
}

func (w *world) close() {
	for at := len(w.closings) - 1; at >= 0; at-- {
		w.closings[at]()
	}
}

func instance() string { return fmt.Sprintf("go-%d", clients.Add(1)) }

func (w *world) producerOptions(more ...producer.Option) []producer.Option {
	return append([]producer.Option{
		producer.WithNameServer([]string{w.nameServer}),
		producer.WithGroupName("P" + w.group),
		producer.WithInstanceName(instance()),
		producer.WithSendMsgTimeout(10 * time.Second),
		producer.WithRetry(2),
	}, more...)
}

func (w *world) producer(more ...producer.Option) (rocketmq.Producer, error) {
	p, err := rocketmq.NewProducer(w.producerOptions(more...)...)
	if err != nil {
		return nil, err
	}
	w.closings = append(w.closings, func() { _ = p.Shutdown() })
	return p, p.Start()
}

type listener func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

// keep puts what comes into received.
func (w *world) keep(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	for _, one := range messages {
		w.received <- one
	}
	return consumer.ConsumeSuccess, nil
}

func (w *world) consume(topic, group, tags string, on listener, more ...consumer.Option) (rocketmq.PushConsumer, error) {
	return w.consumeSelected(topic, group, consumer.MessageSelector{Type: consumer.TAG, Expression: tags}, on, more...)
}

func (w *world) consumeSelected(topic, group string, selector consumer.MessageSelector, on listener, more ...consumer.Option) (rocketmq.PushConsumer, error) {
	options := append([]consumer.Option{
		consumer.WithNameServer([]string{w.nameServer}),
		consumer.WithGroupName(group),
		consumer.WithInstance(instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumerModel(consumer.Clustering),
	}, more...)
	c, err := rocketmq.NewPushConsumer(options...)
	if err != nil {
		return nil, err
	}
	if err := c.Subscribe(topic, selector, on); err != nil {
		return nil, err
	}
	w.closings = append(w.closings, func() { _ = c.Shutdown() })
	return c, c.Start()
}

func (w *world) message(body string) *primitive.Message {
	return primitive.NewMessage(w.topic, []byte(body))
}

func (w *world) next(wait time.Duration, what string) (*primitive.MessageExt, error) {
	select {
	case one := <-w.received:
		return one, nil
	case <-time.After(wait):
		return nil, fmt.Errorf("timeout waiting for %s", what)
	}
}

// expect waits until every body arrived as often as it is listed, then a moment longer for what should not come.
func (w *world) expect(bodies ...string) error {
	missing := map[string]int{}
	for _, body := range bodies {
		missing[body]++
	}
	for left := len(bodies); left > 0; left-- {
		one, err := w.next(45*time.Second, fmt.Sprintf("%d bodies: %v", left, missing))
		if err != nil {
			return err
		}
		body := string(one.Body)
		if missing[body] == 0 {
			return fmt.Errorf("not expected: %s %s", body, one)
		}
		missing[body]--
		if missing[body] == 0 {
			delete(missing, body)
		}
	}
	if extra, err := w.next(time.Second, ""); err == nil {
		return fmt.Errorf("came as well: %s", extra)
	}
	return nil
}

func await(wait time.Duration, what string, holds func() bool) error {
	for deadline := time.Now().Add(wait); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("timeout waiting until %s", what)
		}
	}
	return nil
}
