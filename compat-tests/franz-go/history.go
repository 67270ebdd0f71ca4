package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
)

// history is the file in which a process writes what happened to it, an event a line, for the history checker.
type history struct {
	mutex sync.Mutex
	file  *os.File
	lines *bufio.Writer
}

func newHistory(path string) (*history, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &history{file: file, lines: bufio.NewWriter(file)}, nil
}

func (h *history) note(event map[string]any) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	line, _ := json.Marshal(event)
	h.lines.Write(append(line, '\n'))
}

// flush hands over what was noted, so that it is there when the process is killed.
func (h *history) flush() error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.lines.Flush()
}

func (h *history) close() error {
	if err := h.flush(); err != nil {
		return err
	}
	return h.file.Close()
}
