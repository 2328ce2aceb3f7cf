package main

import (
	"strings"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

var transactions = []scenario{
	{"transactionCommit", func(w *world) error { return w.transaction([]string{"commit never"}, 0, "commit never") }},
	{"transactionRollback", func(w *world) error { return w.transaction([]string{"rollback never"}, 0) }},
	{"transactionCheckBack", func(w *world) error {
		return w.transaction([]string{"unknown commit", "unknown rollback"}, 2, "unknown commit")
	}},
}

// decider does what a body says: the first word at once, the second when asked back.
type decider struct{ checks atomic.Int64 }

func stateOf(word string) primitive.LocalTransactionState {
	switch word {
	case "commit":
		return primitive.CommitMessageState
	case "rollback":
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

func (d *decider) ExecuteLocalTransaction(message *primitive.Message) primitive.LocalTransactionState {
	return stateOf(strings.Split(string(message.Body), " ")[0])
}

func (d *decider) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	d.checks.Add(1)
	return stateOf(strings.Split(string(message.Body), " ")[1])
}

func (w *world) transaction(bodies []string, checks int64, delivered ...string) error {
	local := &decider{}
	p, err := rocketmq.NewTransactionProducer(local, w.producerOptions()...)
	if err != nil {
		return err
	}
	w.closings = append(w.closings, func() { _ = p.Shutdown() })
	if err := p.Start(); err != nil {
		return err
	}
	for _, body := range bodies {
		if _, err := p.SendMessageInTransaction(background, w.message(body)); err != nil {
			return err
		}
	}
	if err := w.sendAll("plain"); err != nil {
		return err
	}
	if err := w.listen(); err != nil {
		return err
	}
	if err := await(60*time.Second, "it was asked back", func() bool { return local.checks.Load() >= checks }); err != nil {
		return err
	}
	return w.expect(append(delivered, "plain")...)
}
