package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var consumes = []scenario{
	{"clustering", clustering},
	{"broadcasting", broadcasting},
	{"orderly", orderly},
	{"retry", retry},
	{"sqlFilter", sqlFilter},
	{"deadLetter", deadLetter},
	{"restart", restart},
}

func sqlFilter(w *world) error {
	p, err := w.producer()
	if err != nil {
		return err
	}
	for at := 0; at < 20; at++ {
		message := w.message(fmt.Sprintf("m%d", at))
		message.WithTag([]string{"plain", "vip"}[at/19])
		message.WithProperty("amount", strconv.Itoa(at))
		message.WithProperty("region", []string{"eu", "us"}[at%2])
		if _, err := p.SendSync(context.Background(), message); err != nil {
			return err
		}
	}
	selector := consumer.MessageSelector{Type: consumer.SQL92, Expression: "(amount BETWEEN 10 AND 15 AND region = 'eu') OR TAGS = 'vip'"}
	if _, err := w.consumeSelected(w.topic, w.group, selector, w.keep); err != nil {
		return err
	}
	return w.expect("m10", "m12", "m14", "m19")
}

func clustering(w *world) error {
	if err := w.sendAll("early warm-up"); err != nil {
		return err
	}
	var work [2]atomic.Int64
	var early sync.Map
	for at := range work {
		on := func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			work[at].Add(int64(len(messages)))
			if body := string(messages[0].Body); strings.HasPrefix(body, "early") {
				early.Store(body, true)
				return consumer.ConsumeSuccess, nil
			}
			return w.keep(ctx, messages...)
		}
		if _, err := w.consume(w.topic, w.group, "*", on); err != nil {
			return err
		}
	}
	// Messages until both have worked: the client does not show its queues. While these move, messages may come twice.
	bodies := []string{}
	for round := 0; round < 60 && (work[0].Load() == 0 || work[1].Load() == 0); round++ {
		more := numbered(fmt.Sprintf("early %d", round), 8)
		if err := w.sendAll(more...); err != nil {
			return err
		}
		bodies = append(bodies, more...)
		time.Sleep(time.Second)
	}
	if work[0].Load() == 0 || work[1].Load() == 0 {
		return fmt.Errorf("one member has no work: %d and %d", work[0].Load(), work[1].Load())
	}
	all := func() bool {
		for _, body := range bodies {
			if _, came := early.Load(body); !came {
				return false
			}
		}
		return true
	}
	if err := await(45*time.Second, "all early messages came", all); err != nil {
		return err
	}
	before := [2]int64{work[0].Load(), work[1].Load()}
	bodies = numbered("shared", 32)
	if err := w.sendAll(bodies...); err != nil {
		return err
	}
	if err := w.expect(bodies...); err != nil {
		return err
	}
	if work[0].Load() == before[0] || work[1].Load() == before[1] {
		return fmt.Errorf("one member has no work: %d and %d", work[0].Load(), work[1].Load())
	}
	return nil
}

func broadcasting(w *world) error {
	if err := w.sendAll("warm-up"); err != nil {
		return err
	}
	var ready atomic.Int64
	for member := 0; member < 2; member++ {
		on := func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			if string(messages[0].Body) == "warm-up" {
				ready.Add(1)
				return consumer.ConsumeSuccess, nil
			}
			return w.keep(ctx, messages...)
		}
		_, err := w.consume(w.topic, w.group, "*", on, consumer.WithConsumerModel(consumer.BroadCasting))
		if err != nil {
			return err
		}
	}
	if err := await(45*time.Second, "both members run", func() bool { return ready.Load() == 2 }); err != nil {
		return err
	}
	bodies := numbered("to all", 20)
	if err := w.sendAll(bodies...); err != nil {
		return err
	}
	return w.expect(append(bodies, bodies...)...)
}

func orderly(w *world) error {
	p, err := w.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	if err != nil {
		return err
	}
	for number := 0; number < 100; number++ {
		message := w.message(fmt.Sprintf("%d", number)).WithShardingKey(fmt.Sprintf("key %d", number%3))
		if _, err := p.SendSync(background, message); err != nil {
			return err
		}
	}
	var lock sync.Mutex
	seen := map[int][]int{}
	count := 0
	on := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		lock.Lock()
		defer lock.Unlock()
		for _, one := range messages {
			number, _ := strconv.Atoi(string(one.Body))
			seen[number%3] = append(seen[number%3], number)
			count++
		}
		return consumer.ConsumeSuccess, nil
	}
	for member := 0; member < 2; member++ {
		if _, err := w.consume(w.topic, w.group, "*", on, consumer.WithConsumerOrder(true)); err != nil {
			return err
		}
	}
	// This client never unlocks a queue that goes to another member: its lock ends after 60 s, the next try comes within 20 s.
	if err := await(120*time.Second, "all hundred came", func() bool {
		lock.Lock()
		defer lock.Unlock()
		return count >= 100
	}); err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	for _, numbers := range seen {
		for at := 1; at < len(numbers); at++ {
			if numbers[at] <= numbers[at-1] {
				return fmt.Errorf("out of order: %v", numbers)
			}
		}
	}
	return nil
}

func retry(w *world) error {
	if err := w.sendAll("thrice"); err != nil {
		return err
	}
	on := func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		_, _ = w.keep(ctx, messages...)
		if concurrent, ok := primitive.GetConcurrentlyCtx(ctx); ok {
			concurrent.DelayLevelWhenNextConsume = 1
		}
		if messages[0].ReconsumeTimes < 2 {
			return consumer.ConsumeRetryLater, nil
		}
		return consumer.ConsumeSuccess, nil
	}
	if _, err := w.consume(w.topic, w.group, "*", on); err != nil {
		return err
	}
	for times := int32(0); times < 3; times++ {
		one, err := w.next(60*time.Second, fmt.Sprintf("attempt %d", times))
		if err != nil {
			return err
		}
		if one.ReconsumeTimes != times || one.Topic != w.topic {
			return fmt.Errorf("attempt %d of %s came as %s", times, w.topic, one)
		}
	}
	return nil
}

func deadLetter(w *world) error {
	if err := w.sendAll("poison"); err != nil {
		return err
	}
	var attempts atomic.Int64
	on := func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		attempts.Add(int64(len(messages)))
		if concurrent, ok := primitive.GetConcurrentlyCtx(ctx); ok {
			concurrent.DelayLevelWhenNextConsume = 1
		}
		return consumer.ConsumeRetryLater, nil
	}
	if _, err := w.consume(w.topic, w.group, "*", on, consumer.WithMaxReconsumeTimes(1)); err != nil {
		return err
	}
	if err := await(60*time.Second, "two attempts", func() bool { return attempts.Load() == 2 }); err != nil {
		return err
	}
	// The topic appears with the first dead letter.
	time.Sleep(3 * time.Second)
	if _, err := w.consume("%DLQ%"+w.group, "D"+w.group, "*", w.keep); err != nil {
		return err
	}
	return w.expect("poison")
}

func restart(w *world) error {
	bodies := numbered("before", 20)
	if err := w.sendAll(bodies...); err != nil {
		return err
	}
	if err := w.listen(); err != nil {
		return err
	}
	if err := w.expect(bodies...); err != nil {
		return err
	}
	p, err := w.producer()
	if err != nil {
		return err
	}
	if err := ask("restart"); err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, body := range numbered("after", 20) {
		missing[body] = true
		if err := await(60*time.Second, body+" was sent", func() bool {
			_, err := p.SendSync(background, w.message(body))
			return err == nil
		}); err != nil {
			return err
		}
	}
	for len(missing) > 0 {
		one, err := w.next(90*time.Second, fmt.Sprintf("%d bodies sent after the restart", len(missing)))
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(one.Body), "before") {
			delete(missing, string(one.Body))
		}
	}
	return nil
}
